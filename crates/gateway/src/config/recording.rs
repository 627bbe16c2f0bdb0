//! `[recording]` and `[api]`: where streams are recorded, for how long, and who may remove recordings.

use std::time::Duration;

use archive::{StoreSettings, store::Place};
use ingest::SecretText;

use super::{
    Config,
    settings::{Setting, read_flag, read_span},
    units::{parse_size, parse_span, show_size, show_span},
};

/// What the operator wants of recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recording {
    pub enabled: bool,
    /// Its URL is empty for the folder `recordings` in `data.dir`.
    pub store: StoreSettings,
    /// Zero for ever.
    pub keep: Duration,
    /// 0 for no limit.
    pub max_size: u64,
    pub longest: Duration,
    pub commit: Duration,
    pub queue: u64,
}

impl Default for Recording {
    fn default() -> Self {
        let usual = archive::Settings::default();
        Self {
            enabled: false,
            store: StoreSettings::default(),
            keep: Duration::ZERO,
            max_size: 0,
            longest: usual.longest,
            commit: usual.commit,
            queue: usual.queue_bytes,
        }
    }
}

impl Config {
    /// Where recordings are.
    pub(crate) fn recording_store(&self) -> StoreSettings {
        let mut store = self.recording.store.clone();
        if store.url.is_empty() {
            store.url = format!("file:{}", self.data_dir.join("recordings").display());
        }
        store
    }
}

macro_rules! text {
    ($key:literal, $field:ident, $help:literal) => {
        Setting {
            key: $key,
            help: $help,
            get: |c| c.recording.store.$field.clone().unwrap_or_default(),
            set: |c, v| {
                c.recording.store.$field = Some(v.trim().to_owned()).filter(|v| !v.is_empty());
                Ok(())
            },
        }
    };
}

/// Both sections, in the order of the example file.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "recording.enabled",
        help: "Record every stream, in every rendition. A [[stream]] table may say otherwise for some. docs/recording.md tells more.",
        get: |c| c.recording.enabled.to_string(),
        set: |c, v| read_flag(v).map(|v| c.recording.enabled = v),
    },
    Setting {
        key: "recording.url",
        help: "Where: file:FOLDER, or s3://BUCKET/PREFIX for S3-compatible storage. Empty: the folder recordings in data.dir.",
        get: |c| c.recording.store.url.clone(),
        set: |c, v| {
            let url = v.trim();
            if !url.is_empty() {
                Place::read(url)?;
            }
            c.recording.store.url = url.to_owned();
            Ok(())
        },
    },
    Setting {
        key: "recording.s3_endpoint",
        help: "Where the S3 service is, such as https://s3.example.org. Empty: AWS_ENDPOINT, else Amazon's own.",
        get: |c| c.recording.store.endpoint.clone().unwrap_or_default(),
        set: |c, v| {
            let endpoint = v.trim();
            let spoken = endpoint.starts_with("https://") || endpoint.starts_with("http://");
            if !endpoint.is_empty() && !spoken {
                return Err(format!("{endpoint:?} is not an http:// or https:// address"));
            }
            c.recording.store.endpoint = Some(endpoint.to_owned()).filter(|v| !v.is_empty());
            Ok(())
        },
    },
    text!("recording.s3_region", region, "Its region. Empty: AWS_REGION, else us-east-1."),
    text!("recording.s3_key_id", key_id, "The access key. Empty: AWS_ACCESS_KEY_ID, or the machine's role."),
    text!(
        "recording.s3_secret",
        secret,
        "Its secret. Best given as SLUICE_RECORDING_S3_SECRET. Empty: AWS_SECRET_ACCESS_KEY, or the machine's role."
    ),
    Setting {
        key: "recording.keep",
        help: "Recordings are removed so long after their end, such as \"720h\" or \"30d\". 0s: never.",
        get: |c| show_span(c.recording.keep),
        set: |c, v| parse_span(v).map(|v| c.recording.keep = v),
    },
    Setting {
        key: "recording.max_size",
        help: "The oldest complete recordings are removed when all of them take more. 0: no limit.",
        get: |c| show_size(c.recording.max_size),
        set: |c, v| parse_size(v).map(|v| c.recording.max_size = v),
    },
    Setting {
        key: "recording.longest",
        help: "A recording that is longer goes on as another.",
        get: |c| show_span(c.recording.longest),
        set: |c, v| read_span(v, 60, 7 * 86_400).map(|v| c.recording.longest = v),
    },
    Setting {
        key: "recording.commit",
        help: "Segments are written together, this often: what a killed gateway loses of a recording, and what S3 counts as\n\
               requests (two each time).",
        get: |c| show_span(c.recording.commit),
        set: |c, v| read_span(v, 1, 300).map(|v| c.recording.commit = v),
    },
    Setting {
        key: "recording.queue",
        help: "What may wait in memory, for each stream, while the disk or S3 is slow or gone. What finds no room is a gap in\n\
               the recording; the live stream never waits.",
        get: |c| show_size(c.recording.queue),
        set: |c, v| match parse_size(v)? {
            size @ 0x10_0000..=0x10_0000_0000 => {
                c.recording.queue = size;
                Ok(())
            }
            _ => Err(format!("{v:?} is outside 1MiB to 64GiB")),
        },
    },
    Setting {
        key: "api.admin_token",
        help: "Who sends it (Authorization: Bearer …) may list and remove recordings in the API; 16 characters or more. Empty:\n\
               nobody may. Best given as SLUICE_API_ADMIN_TOKEN.",
        get: |c| c.admin_token.expose().to_owned(),
        set: |c, v| match v.len() {
            0 | 16.. => {
                c.admin_token = SecretText::new(v);
                Ok(())
            }
            _ => Err("16 characters or more are needed".to_owned()),
        },
    },
];

/// Faults that only two settings together show.
pub(super) fn cross_check(config: &Config, fault: &mut impl FnMut(&str, String)) {
    let store = &config.recording.store;
    match (&store.key_id, &store.secret) {
        (Some(_), None) => {
            fault("recording.s3_secret", "recording.s3_key_id is set, so this is needed, too".into())
        }
        (None, Some(_)) => {
            fault("recording.s3_key_id", "recording.s3_secret is set, so this is needed, too".into())
        }
        _ => {}
    }
    if store.endpoint.is_some() && !store.url.starts_with("s3://") {
        fault("recording.s3_endpoint", "is of no use: recording.url does not begin with s3://".into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::testing::read;

    #[test]
    fn a_place_is_read_and_hidden_where_it_must_be() {
        let config = read(
            "[recording]\nenabled = true\nurl = \"s3://tv-archive/rec\"\ns3_endpoint = \"http://[::1]:8333\"\ns3_key_id = \"me\"\n\
             s3_secret = \"hush-hush-hush\"\nkeep = \"30d\"\nmax_size = \"2TiB\"\n[api]\nadmin_token = \"0123456789abcdef\"\n\
             [[stream]]\nname = \"cam-*\"\nrecording = false\n[[stream]]\nname = \"studio\"\nrecording_keep = \"0s\"\n",
        )
        .unwrap();
        assert_eq!((config.recording.keep.as_secs(), config.recording.max_size), (30 * 86_400, 2 << 40));
        assert_eq!(config.recording_store().url, "s3://tv-archive/rec");
        let shown = format!("{config:?}");
        assert!(!shown.contains("hush") && !shown.contains("0123456789abcdef"), "{shown}");
        assert!(!config.of_stream("cam-1").recording.enabled);
        let studio = config.of_stream("studio").recording;
        assert!(studio.enabled && studio.keep.is_zero());
        assert!(read("").unwrap().recording_store().url.ends_with("data/recordings"));
    }

    #[test]
    fn faults_are_told() {
        let faults = read(
            "[recording]\nurl = \"ftp://x\"\nqueue = \"1kB\"\ns3_endpoint = \"s3.example.org\"\n[api]\nadmin_token = \"short\"\n\
             [[stream]]\nname = \"a\"\nrecording = \"maybe\"\nrecording_url = \"file:x\"\n",
        )
        .unwrap_err();
        for want in [
            ":2: recording.url",
            ":3: recording.queue",
            ":4: recording.s3_endpoint",
            ":6: api.admin_token",
            ":9: ",
            ":10: ",
        ] {
            assert!(faults.contains(want), "{want}: {faults}");
        }
        let faults = read("[recording]\ns3_key_id = \"me\"\ns3_endpoint = \"https://x\"\n").unwrap_err();
        assert!(faults.contains("recording.s3_secret") && faults.contains("of no use"), "{faults}");
    }
}
