//! Where objects are kept: a folder, or a bucket of S3-compatible storage, behind one interface (crate `object_store`).

use std::{fmt, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, aws::AmazonS3Builder,
    local::LocalFileSystem, path::Path,
};

/// A request that takes longer has failed: nothing of ours is larger than some tens of MiB.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Objects removed at once.
const DELETES: usize = 8;

/// Where a store is, and what opens it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// `file:/srv/recordings`, `file:recordings` (below the working directory), or `s3://bucket/prefix`.
    pub url: String,
    /// S3: where the service is, such as `https://s3.example.org`; `None` for Amazon's own.
    pub endpoint: Option<String>,
    /// S3: the region; `None` takes `AWS_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// S3: the access key; `None` takes what the environment has (`AWS_ACCESS_KEY_ID`, a role).
    pub key_id: Option<String>,
    /// S3: its secret.
    pub secret: Option<String>,
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("url", &self.url)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("key_id", &self.key_id)
            .field("secret", &self.secret.as_ref().map(|_| "…"))
            .finish()
    }
}

/// A URL, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, and what all names in it begin with (no slash at either end; may be empty).
    Bucket {
        /// Its name.
        bucket: String,
        /// The names' first part.
        prefix: String,
    },
}

impl Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// With what is wrong, in words.
    pub fn read(url: &str) -> Result<Self, String> {
        let bad = || format!("{url:?} is no place for recordings: write file:FOLDER or s3://BUCKET/PREFIX");
        if let Some(path) = url.strip_prefix("file:") {
            let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
            return if path.is_empty() { Err(bad()) } else { Ok(Self::Folder(path.into())) };
        }
        let rest = url.strip_prefix("s3://").ok_or_else(bad)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_/".contains(&b));
        let prefix = prefix.trim_matches('/');
        let sound = !prefix.split('/').any(|part| matches!(part, "." | "..")) && !prefix.contains("//");
        if (3..=63).contains(&bucket.len()) && plain(bucket) && plain(prefix) && sound {
            Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        } else {
            Err(bad())
        }
    }
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {key} in {place}")]
pub struct StoreError {
    action: &'static str,
    key: String,
    place: Arc<str>,
    #[source]
    source: object_store::Error,
}

impl StoreError {
    /// There is no such object.
    pub fn is_missing(&self) -> bool {
        matches!(self.source, object_store::Error::NotFound { .. })
    }

    /// The disk, or what one may use of it, is full.
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&self.source);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<std::io::Error>()
                && matches!(io.kind(), StorageFull | QuotaExceeded)
            {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// An object as a listing tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A place for objects. A clone shares.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    prefix: String,
    shown: Arc<str>,
    folder: Option<PathBuf>,
}

impl Store {
    /// Opens a place; a folder is made if missing. A bucket is not asked anything yet.
    ///
    /// # Errors
    /// In words: a wrong URL, a folder that cannot be made, settings that do not go together.
    pub fn open(settings: &StoreSettings) -> Result<Self, String> {
        match Place::read(&settings.url)? {
            Place::Folder(folder) => {
                let made = std::fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
                let folder =
                    made.map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
                let inner = LocalFileSystem::new_with_prefix(&folder)
                    .map_err(|error| format!("cannot use the folder {}: {error}", folder.display()))?
                    .with_fsync(true)
                    .with_automatic_cleanup(true);
                let shown = folder.display().to_string().into();
                Ok(Self { inner: Arc::new(inner), prefix: String::new(), shown, folder: Some(folder) })
            }
            Place::Bucket { bucket, prefix } => {
                // What speaks TLS for object_store takes the process's choice; a choice made before stands.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let inner = bucket_client(&bucket, settings)
                    .map_err(|error| format!("cannot use the bucket {bucket:?}: {error}"))?;
                let shown = format!("s3://{bucket}/{prefix}").into();
                Ok(Self { inner: Arc::new(inner), prefix, shown, folder: None })
            }
        }
    }

    /// Any other implementation, such as one in memory; `shown` stands in messages.
    pub fn over(inner: Arc<dyn ObjectStore>, shown: &str) -> Self {
        Self { inner, prefix: String::new(), shown: shown.into(), folder: None }
    }

    /// The place, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The folder, where it is one.
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    fn path(&self, key: &str) -> Path {
        if self.prefix.is_empty() { Path::from(key) } else { Path::from(format!("{}/{key}", self.prefix)) }
    }

    fn fault<'a>(
        &'a self,
        action: &'static str,
        key: &'a str,
    ) -> impl Fn(object_store::Error) -> StoreError + 'a {
        move |source| StoreError { action, key: key.to_owned(), place: self.shown.clone(), source }
    }

    /// Writes an object, whole or not at all, over one of the same name.
    ///
    /// # Errors
    /// When the store fails. The object may be there even so.
    pub async fn put(&self, key: &str, chunks: Vec<Bytes>) -> Result<(), StoreError> {
        let payload: PutPayload = chunks.into_iter().collect();
        self.inner.put(&self.path(key), payload).await.map(drop).map_err(self.fault("write", key))
    }

    /// Reads an object.
    ///
    /// # Errors
    /// When the store fails or there is none.
    pub async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let read = async { self.inner.get(&self.path(key)).await?.bytes().await };
        read.await.map_err(self.fault("read", key))
    }

    /// Reads a part of an object; what lies past its end is an error.
    ///
    /// # Errors
    /// When the store fails, or there is no such part.
    pub async fn range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let wanted = range.end.saturating_sub(range.start);
        let bytes = self.inner.get_range(&self.path(key), range).await.map_err(self.fault("read", key))?;
        if bytes.len() as u64 == wanted {
            return Ok(bytes);
        }
        let short = std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            format!("{} bytes came, {wanted} were named by the index", bytes.len()),
        );
        Err(self.fault("read", key)(object_store::Error::Generic {
            store: "archive",
            source: Box::new(short),
        }))
    }

    /// All objects whose name begins with `folder` and a slash; all of them for an empty one. In no order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        let prefix = match (self.prefix.as_str(), folder) {
            ("", "") => None,
            (prefix, "") => Some(Path::from(prefix)),
            (_, folder) => Some(self.path(folder)),
        };
        let cut = if self.prefix.is_empty() { 0 } else { self.prefix.len() + 1 };
        let listed = self.inner.list(prefix.as_ref()).map_ok(|meta| Listed {
            key: meta.location.as_ref().get(cut..).unwrap_or_default().to_owned(),
            size: meta.size,
        });
        listed.try_collect().await.map_err(self.fault("list", folder))
    }

    /// The numbers that name folders directly below one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn folders(&self, folder: &str) -> Result<Vec<u64>, StoreError> {
        let path = self.path(folder);
        let listed = self.inner.list_with_delimiter(Some(&path)).await.map_err(self.fault("list", folder))?;
        Ok(listed.common_prefixes.iter().filter_map(|path| path.filename()?.parse().ok()).collect())
    }

    /// Removes objects; one that is not there is no error.
    ///
    /// # Errors
    /// With the first failure; the others have been tried.
    pub async fn delete(&self, keys: Vec<String>) -> Result<(), StoreError> {
        let removals = keys.into_iter().map(|key| async move {
            match self.inner.delete(&self.path(&key)).await.map_err(self.fault("remove", &key)) {
                Err(error) if !error.is_missing() => Err(error),
                _ => Ok(()),
            }
        });
        let done: BoxStream<'_, _> = futures_util::stream::iter(removals).buffer_unordered(DELETES).boxed();
        done.fold(Ok(()), |first, next| async move { first.and(next) }).await
    }

    /// Folders: removes what writes that were cut off have left (they are not listed), and empty folders. Blocks.
    pub fn sweep_folder(&self) -> usize {
        self.folder.as_deref().map_or(0, |folder| sweep(folder, true))
    }
}

/// `name#7` is how a file is called while it is written; no name of ours holds a `#`.
fn sweep(folder: &std::path::Path, top: bool) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let mut swept = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => swept += sweep(&path, false),
            Ok(kind) if kind.is_file() => {
                let name = entry.file_name();
                let staged = name
                    .to_string_lossy()
                    .rsplit_once('#')
                    .is_some_and(|(_, nth)| !nth.is_empty() && nth.bytes().all(|b| b.is_ascii_digit()));
                swept += usize::from(staged && std::fs::remove_file(&path).is_ok());
            }
            _ => {}
        }
    }
    if !top {
        let _ = std::fs::remove_dir(folder); // refused unless it is empty
    }
    swept
}

fn bucket_client(
    bucket: &str,
    settings: &StoreSettings,
) -> object_store::Result<object_store::aws::AmazonS3> {
    let plain = settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let options = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(plain);
    // Recorders come again by themselves, and viewers ask again: what lies in between is told at once.
    let retry =
        RetryConfig { max_retries: 1, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() };
    let mut builder =
        AmazonS3Builder::from_env().with_bucket_name(bucket).with_client_options(options).with_retry(retry);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let (Some(id), Some(secret)) = (&settings.key_id, &settings.secret) {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        for (url, want) in [
            ("file:/srv/rec", Place::Folder("/srv/rec".into())),
            ("file:///srv/rec", Place::Folder("/srv/rec".into())),
            ("file:rec", Place::Folder("rec".into())),
            ("s3://tv-archive", Place::Bucket { bucket: "tv-archive".into(), prefix: String::new() }),
            ("s3://tv-archive/a/b/", Place::Bucket { bucket: "tv-archive".into(), prefix: "a/b".into() }),
        ] {
            assert_eq!(Place::read(url), Ok(want), "{url}");
        }
        for bad in
            ["", "file:", "/srv", "s3://", "s3://ab", "s3://bucket/a b", "s3://bucket/../x", "gs://bucket"]
        {
            assert!(Place::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = StoreSettings { secret: Some("hush-hush".into()), ..StoreSettings::default() };
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[tokio::test]
    async fn a_folder_keeps_objects_and_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file:{}/made/here", dir.path().display());
        let store = Store::open(&StoreSettings { url, ..StoreSettings::default() }).unwrap();
        store.put("a/b/1.bin", vec![Bytes::from_static(b"hel"), Bytes::from_static(b"lo")]).await.unwrap();
        store.put("a/c/2.bin", vec![]).await.unwrap();
        assert_eq!(store.get("a/b/1.bin").await.unwrap(), "hello");
        assert_eq!(store.range("a/b/1.bin", 1..3).await.unwrap(), "el");
        assert!(store.range("a/b/1.bin", 1..9).await.is_err(), "less came than was asked for");
        assert!(store.get("a/b/2.bin").await.unwrap_err().is_missing());
        let mut listed = store.list("a").await.unwrap();
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(
            listed,
            [Listed { key: "a/b/1.bin".into(), size: 5 }, Listed { key: "a/c/2.bin".into(), size: 0 },]
        );
        assert_eq!(store.list("a/b").await.unwrap().len(), 1);

        let staged = dir.path().join("made/here/a/c/3.bin#1");
        std::fs::write(&staged, "half").unwrap();
        store.delete(vec!["a/c/2.bin".into(), "a/never".into()]).await.unwrap();
        assert_eq!(store.sweep_folder(), 1);
        assert!(!staged.parent().unwrap().exists(), "empty folders go too");
        assert_eq!(store.list("").await.unwrap().len(), 1);
    }
}
