//! What outlives the process: streams, their keys (hashed) and where each live playlist stood. SQLite under the data
//! directory, shared by the running gateway, `sluice keys` and `sluice users`.

mod recordings;
mod users;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SyncSender},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ingest::AddressList;
use media::StreamName;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

/// Characters of a generated key: letters and digits that are hard to confuse, so that one can be read aloud.
const KEY_ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 26 of 32 characters: 130 bits. Keys are random, so a plain hash hides them as well as a slow one would.
const KEY_LEN: usize = 26;

/// The database. Cheap to clone. Calls block for a disk write at most; those of live streams are queued for a thread of
/// their own, in order, since a slow disk must not hold media up.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    db: Arc<Mutex<Connection>>,
    writes: SyncSender<Write>,
}

/// What the writing thread is given.
#[derive(Debug)]
enum Write {
    Save(StreamName, String),
    Forget(StreamName),
    Flush(SyncSender<()>),
}

/// Writes that wait at most. When full, positions are skipped: a newer one follows within seconds.
const WRITES: usize = 1024;

/// Why the store could not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The data directory cannot be made.
    #[error("cannot make the data directory {path} (setting data.dir)")]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("the database {path} failed")]
    Open {
        /// Which.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite failed later.
    #[error("the database failed")]
    Query(#[from] rusqlite::Error),
}

/// One key as `sluice keys list` shows it. The key itself is not known.
#[derive(Debug, Clone)]
pub(crate) struct KeyRow {
    /// Its number, for `sluice keys revoke`.
    pub id: i64,
    /// The stream it opens.
    pub stream: String,
    /// Its first characters, to tell keys apart.
    pub hint: String,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970, if it was.
    pub revoked_at: Option<i64>,
    /// Seconds since 1970, if ever.
    pub last_used_at: Option<i64>,
    /// Where it counts.
    pub limits: KeyLimits,
}

/// Where a key counts. By default everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyLimits {
    /// The application that must be published to; any where `None`.
    pub app: Option<String>,
    /// The networks that must be published from; any where empty.
    pub addresses: AddressList,
}

impl KeyLimits {
    /// Whether the key counts for a publisher to `app` from `address`.
    pub(crate) fn fit(&self, app: &str, address: IpAddr) -> bool {
        self.app.as_ref().is_none_or(|only| only == app)
            && (self.addresses.is_empty() || self.addresses.contains(address))
    }

    /// As the store keeps them. A text that is none of ours matches nothing rather than everything.
    fn read(app: Option<String>, addresses: &str) -> Self {
        let nobody = || "255.255.255.255".parse().unwrap_or_default();
        Self { app, addresses: addresses.parse().unwrap_or_else(|_| nobody()) }
    }
}

/// Where a stream's playlist stood, as the stream itself wrote it.
#[derive(Debug, Clone)]
pub(crate) struct SavedStream {
    /// Which stream.
    pub name: StreamName,
    /// Its own JSON.
    pub state: String,
    /// When it was written.
    pub saved_at: SystemTime,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS keys (
        id INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        hash BLOB NOT NULL UNIQUE,
        hint TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        revoked_at INTEGER,
        last_used_at INTEGER
    ) STRICT;
    CREATE TABLE IF NOT EXISTS key_limits (
        key INTEGER PRIMARY KEY REFERENCES keys (id),
        app TEXT,
        addresses TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS live (
        stream TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        saved_at_ms INTEGER NOT NULL
    ) STRICT;
";

impl Store {
    /// Opens the database in `dir`, making both if missing.
    ///
    /// # Errors
    /// When the folder cannot be made or the database not opened.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Folder { path: dir.to_owned(), source })?;
        let path = dir.join("sluice.db");
        let open = || {
            let db = Connection::open(&path)?;
            db.busy_timeout(Duration::from_secs(5))?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            // A power cut may lose the last second of playlist positions, never the database.
            db.pragma_update(None, "synchronous", "NORMAL")?;
            db.execute_batch(SCHEMA)?;
            db.execute_batch(users::SCHEMA)?;
            db.execute_batch(recordings::SCHEMA)?;
            Ok(db)
        };
        let db = open().map_err(|source| StoreError::Open { path: path.clone(), source })?;
        let db = Arc::new(Mutex::new(db));
        let (writes, queue) = mpsc::sync_channel(WRITES);
        let writer = db.clone();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                for write in queue {
                    carry_out(&writer, write);
                }
            })
            .map_err(|source| StoreError::Folder { path: dir.to_owned(), source })?;
        Ok(Self { db, writes })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        Ok(work(&self.db.lock().unwrap_or_else(PoisonError::into_inner))?)
    }

    /// Makes a key for `stream` that counts everywhere, and returns it; only its hash is kept.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn add_key(&self, stream: &StreamName) -> Result<String, StoreError> {
        self.add_key_within(stream, &KeyLimits::default())
    }

    /// Makes a key for `stream` that counts within `limits`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn add_key_within(
        &self,
        stream: &StreamName,
        limits: &KeyLimits,
    ) -> Result<String, StoreError> {
        let key = random_key();
        self.with(|db| {
            let whole = db.unchecked_transaction()?;
            whole.execute(
                "INSERT INTO keys (stream, hash, hint, created_at) VALUES (?1, ?2, ?3, ?4)",
                params![stream.as_str(), hash(key.as_bytes()), &key[..4], unix_seconds()],
            )?;
            if *limits != KeyLimits::default() {
                whole.execute(
                    "INSERT INTO key_limits (key, app, addresses) VALUES (?1, ?2, ?3)",
                    params![whole.last_insert_rowid(), limits.app, limits.addresses.to_string()],
                )?;
            }
            whole.commit()
        })?;
        Ok(key)
    }

    /// The stream that `key` opens and where it counts, if it is known and not revoked. Notes its use.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn stream_of_key(&self, key: &[u8]) -> Result<Option<(StreamName, KeyLimits)>, StoreError> {
        self.with(|db| {
            let found: Option<(i64, String, KeyLimits)> = db
                .query_row(
                    "SELECT id, stream, app, ifnull(addresses, '') FROM keys LEFT JOIN key_limits ON key = id
                     WHERE hash = ?1 AND revoked_at IS NULL",
                    params![hash(key)],
                    |row| {
                        let limits = KeyLimits::read(row.get(2)?, &row.get::<_, String>(3)?);
                        Ok((row.get(0)?, row.get(1)?, limits))
                    },
                )
                .optional()?;
            let Some((id, stream, limits)) = found else { return Ok(None) };
            db.execute("UPDATE keys SET last_used_at = ?2 WHERE id = ?1", params![id, unix_seconds()])?;
            Ok(stream.parse().ok().map(|stream| (stream, limits)))
        })
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        self.with(|db| {
            let mut query = db.prepare(
                "SELECT id, stream, hint, created_at, revoked_at, last_used_at, app, ifnull(addresses, '')
                 FROM keys LEFT JOIN key_limits ON key = id ORDER BY id",
            )?;
            let rows = query.query_map([], |row| {
                Ok(KeyRow {
                    id: row.get(0)?,
                    stream: row.get(1)?,
                    hint: row.get(2)?,
                    created_at: row.get(3)?,
                    revoked_at: row.get(4)?,
                    last_used_at: row.get(5)?,
                    limits: KeyLimits::read(row.get(6)?, &row.get::<_, String>(7)?),
                })
            })?;
            rows.collect()
        })
    }

    /// Revokes a key by its number; false when there is none, or it was revoked before.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn revoke_key(&self, id: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
        Ok(self.with(|db| db.execute(sql, params![id, unix_seconds()]))? > 0)
    }

    /// Queues where a stream's playlist stands; false when too much waits already.
    pub(crate) fn save_live(&self, name: &StreamName, state: String) -> bool {
        self.writes.try_send(Write::Save(name.clone(), state)).is_ok()
    }

    /// Queues that a stream's playlist is forgotten: it ended.
    pub(crate) fn forget_live(&self, name: &StreamName) {
        // The thread lives as long as a store does.
        let _ = self.writes.send(Write::Forget(name.clone()));
    }

    /// Waits until everything queued so far is written.
    pub(crate) fn flush(&self) {
        let (done, wait) = mpsc::sync_channel(1);
        if self.writes.send(Write::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    /// Playlists that had not ended when they were last written.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn saved_live(&self) -> Result<Vec<SavedStream>, StoreError> {
        self.with(|db| {
            let mut query = db.prepare("SELECT stream, state, saved_at_ms FROM live")?;
            let rows = query.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
            })?;
            let mut saved = Vec::new();
            for row in rows {
                let (name, state, at) = row?;
                if let Ok(name) = name.parse() {
                    let saved_at = UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0));
                    saved.push(SavedStream { name, state, saved_at });
                }
            }
            Ok(saved)
        })
    }
}

fn carry_out(db: &Mutex<Connection>, write: Write) {
    let db = db.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = match write {
        Write::Save(name, state) => {
            let now =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
            db.execute(
                "INSERT INTO live (stream, state, saved_at_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT (stream) DO UPDATE SET state = ?2, saved_at_ms = ?3",
                params![name.as_str(), state, now],
            )
        }
        Write::Forget(name) => db.execute("DELETE FROM live WHERE stream = ?1", params![name.as_str()]),
        Write::Flush(done) => {
            let _ = done.send(()); // who asked may have given up
            return;
        }
    };
    if let Err(error) = outcome {
        tracing::error!(%error, "a playlist's position is not written; a restart would begin a new one");
    }
}

/// A new key, or a password as good as one.
pub(crate) fn random_key() -> String {
    (0..KEY_LEN).map(|_| char::from(KEY_ALPHABET[rand::random_range(0..KEY_ALPHABET.len())])).collect()
}

fn hash(key: &[u8]) -> Vec<u8> {
    Sha256::digest(key).to_vec()
}

fn unix_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_its_stream_until_it_is_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name: StreamName = "show".parse().unwrap();
        let key = store.add_key(&name).unwrap();
        assert_eq!(key.len(), KEY_LEN);
        assert_eq!(store.stream_of_key(key.as_bytes()).unwrap(), Some((name, KeyLimits::default())));
        assert_eq!(store.stream_of_key(b"wrong").unwrap(), None);
        let rows = store.keys().unwrap();
        assert!(rows[0].last_used_at.is_some());
        assert!(store.revoke_key(rows[0].id).unwrap());
        assert!(!store.revoke_key(rows[0].id).unwrap());
        assert_eq!(store.stream_of_key(key.as_bytes()).unwrap(), None);
        // The key itself is nowhere in the files.
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(KEY_LEN).any(|window| window == key.as_bytes()));
        }
    }

    #[test]
    fn a_key_may_count_in_some_places_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name: StreamName = "show".parse().unwrap();
        let limits = KeyLimits { app: Some("live".to_owned()), addresses: "10.0.0.0/8".parse().unwrap() };
        let key = store.add_key_within(&name, &limits).unwrap();
        let (_, kept) = store.stream_of_key(key.as_bytes()).unwrap().unwrap();
        assert_eq!((&kept, &store.keys().unwrap()[0].limits), (&limits, &limits));
        for (app, address, want) in
            [("live", "10.1.1.1", true), ("other", "10.1.1.1", false), ("live", "11.1.1.1", false)]
        {
            assert_eq!(kept.fit(app, address.parse().unwrap()), want, "{app} {address}");
        }
        assert!(KeyLimits::default().fit("", "::1".parse().unwrap()));
        assert!(!KeyLimits::read(None, "rubbish").fit("", "::1".parse().unwrap()));
    }

    #[test]
    fn playlists_are_remembered_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let name: StreamName = "show".parse().unwrap();
        {
            let store = Store::open(dir.path()).unwrap();
            assert!(store.save_live(&name, "one".to_owned()));
            assert!(store.save_live(&name, "two".to_owned()));
            store.flush();
        }
        let store = Store::open(dir.path()).unwrap();
        let saved = store.saved_live().unwrap();
        assert_eq!((saved.len(), saved[0].state.as_str()), (1, "two"));
        store.forget_live(&name);
        store.flush();
        assert!(store.saved_live().unwrap().is_empty());
    }
}
