//! A certificate that nobody vouches for, so that RTMPS can be tried at once.

use std::{
    fs,
    io::Write,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

/// Its file.
pub(super) const CERTIFICATE: &str = "self-signed.pem";
/// Its key's file.
pub(super) const KEY: &str = "self-signed.key";
/// Years from now for which it holds. Old devices cannot count past 2038, which is theirs to meet.
const YEARS: i32 = 10;

/// Makes certificate and key in `folder` if one of them is missing, for this machine's names and `more`; the names if
/// it was made. ECDSA on P-256, which all current encoders take.
pub(super) fn make_missing(folder: &Path, more: &[String]) -> anyhow::Result<Option<Vec<String>>> {
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    if certificate.exists() && key.exists() {
        return Ok(None);
    }
    let names = names(more);
    let pair = KeyPair::generate().context("no key")?;
    let mut params = CertificateParams::new(names.clone()).context("a name is not one (tls.names)")?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "Sluice, self-signed");
    params.distinguished_name = subject;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let year = this_year();
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + YEARS, 1, 1);
    let signed = params.self_signed(&pair).context("no certificate")?;
    write(&key, &pair.serialize_pem(), 0o600)?;
    write(&certificate, &signed.pem(), 0o644)?;
    Ok(Some(names))
}

/// `localhost`, the loopback addresses, this machine's name, and what the operator adds.
fn names(more: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for name in std::iter::once(&host).chain(more) {
        let good = name.parse::<IpAddr>().is_ok()
            || (!name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_*".contains(&c)));
        if good && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn this_year() -> i32 {
    const SECONDS: u64 = 31_556_952; // of a mean Gregorian year
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    1970 + i32::try_from(since / SECONDS).unwrap_or(0)
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let path_of_new = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&path_of_new)
        .with_context(|| path_of_new.display().to_string())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&path_of_new, path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_owned();
        let more = ["live.example.org".to_owned(), "192.0.2.7".to_owned(), "not a name".to_owned()];
        let names = make_missing(&folder, &more).unwrap().unwrap();
        assert!(names.contains(&"live.example.org".to_owned()) && !names.contains(&"not a name".to_owned()));
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        ingest::tls::CertificateFiles::load(&certificate, &key).unwrap();
        assert_eq!(make_missing(&folder, &more).unwrap(), None);
    }

    #[test]
    fn the_year_is_right() {
        assert!((2025..2100).contains(&this_year()));
    }
}
