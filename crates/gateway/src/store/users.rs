//! Users who publish by name and password: what proves the password, and which streams each may publish.

use media::StreamName;
use rtmp::auth::{SALT_LEN, Verifier};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError, unix_seconds};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (
        name TEXT PRIMARY KEY,
        salt TEXT NOT NULL,
        adobe TEXT NOT NULL,
        limelight TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        last_used_at INTEGER
    ) STRICT;
    CREATE TABLE IF NOT EXISTS user_streams (
        user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
        stream TEXT NOT NULL,
        PRIMARY KEY (user, stream)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS secrets (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT;
";

/// One user as `sluice users list` shows it.
#[derive(Debug, Clone)]
pub(crate) struct UserRow {
    /// The name, as the encoder sends it.
    pub name: String,
    /// The streams it may publish, by name.
    pub streams: Vec<String>,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970, if it ever published.
    pub last_used_at: Option<i64>,
}

impl Store {
    /// Makes a user; false when the name is taken. Only what checks the password is kept, not the password.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn add_user(
        &self,
        name: &str,
        password: &str,
        streams: &[StreamName],
    ) -> Result<bool, StoreError> {
        let salt: String =
            (0..SALT_LEN).map(|_| char::from(b"0123456789abcdef"[rand::random_range(0..16)])).collect();
        let verifier = Verifier::new(name, password, &salt);
        let (salt, adobe, limelight) = verifier.parts();
        self.with(|db| {
            let whole = db.unchecked_transaction()?;
            let made = whole.execute(
                "INSERT INTO users (name, salt, adobe, limelight, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (name) DO NOTHING",
                params![name, salt, adobe, limelight, unix_seconds()],
            )?;
            if made == 0 {
                return Ok(false);
            }
            for stream in streams {
                whole.execute(
                    "INSERT OR IGNORE INTO user_streams (user, stream) VALUES (?1, ?2)",
                    params![name, stream.as_str()],
                )?;
            }
            whole.commit()?;
            Ok(true)
        })
    }

    /// Removes a user and what it may publish; false when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn remove_user(&self, name: &str) -> Result<bool, StoreError> {
        self.with(|db| {
            let whole = db.unchecked_transaction()?;
            whole.execute("DELETE FROM user_streams WHERE user = ?1", params![name])?;
            let removed = whole.execute("DELETE FROM users WHERE name = ?1", params![name])?;
            whole.commit()?;
            Ok(removed > 0)
        })
    }

    /// What checks a user's password; `None` when there is no such user.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn verifier_of(&self, user: &str) -> Result<Option<Verifier>, StoreError> {
        self.with(|db| {
            db.query_row("SELECT salt, adobe, limelight FROM users WHERE name = ?1", params![user], |row| {
                Ok(Verifier::from_parts(row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()
        })
    }

    /// Whether a user, who has proven the password, may publish `stream`. Notes the use.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn user_may_publish(&self, user: &str, stream: &StreamName) -> Result<bool, StoreError> {
        self.with(|db| {
            let may = exists(
                db,
                "SELECT 1 FROM user_streams WHERE user = ?1 AND stream = ?2",
                params![user, stream.as_str()],
            )?;
            if may {
                db.execute(
                    "UPDATE users SET last_used_at = ?2 WHERE name = ?1",
                    params![user, unix_seconds()],
                )?;
            }
            Ok(may)
        })
    }

    /// Whether there is any user at all, and any stream key that still opens something.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn users_and_keys(&self) -> Result<(bool, bool), StoreError> {
        self.with(|db| {
            let users = exists(db, "SELECT 1 FROM users LIMIT 1", [])?;
            let keys = exists(db, "SELECT 1 FROM keys WHERE revoked_at IS NULL LIMIT 1", [])?;
            Ok((users, keys))
        })
    }

    /// All users by name.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        self.with(|db| {
            let mut query = db.prepare("SELECT name, created_at, last_used_at FROM users ORDER BY name")?;
            let mut streams =
                db.prepare("SELECT stream FROM user_streams WHERE user = ?1 ORDER BY stream")?;
            let rows = query.query_map([], |row| {
                let name: String = row.get(0)?;
                let streams =
                    streams.query_map(params![name], |row| row.get(0))?.collect::<Result<_, _>>()?;
                Ok(UserRow { name, streams, created_at: row.get(1)?, last_used_at: row.get(2)? })
            })?;
            rows.collect()
        })
    }

    /// The secret that challenges are made of; made at the first call and kept, so that restarts change nothing that a
    /// stranger can see.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn challenge_secret(&self) -> Result<[u8; 32], StoreError> {
        self.secret("challenge")
    }

    /// The secret of playback tokens, unless the configuration has others. Made and kept likewise.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn token_secret(&self) -> Result<[u8; 32], StoreError> {
        self.secret("token")
    }

    fn secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        self.with(|db| {
            let fresh: [u8; 32] = rand::random();
            db.execute(
                "INSERT INTO secrets (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
                params![name, fresh],
            )?;
            db.query_row("SELECT value FROM secrets WHERE name = ?1", params![name], |row| row.get(0))
        })
    }
}

fn exists(db: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<bool> {
    Ok(db.query_row(sql, params, |_| Ok(())).optional()?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_publish_their_streams_until_they_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let [show, talk, other]: [StreamName; 3] =
            ["show", "talk", "other"].map(|name| name.parse().unwrap());
        assert_eq!(store.users_and_keys().unwrap(), (false, false));
        assert!(store.add_user("ann", "a long password", &[show.clone(), talk.clone()]).unwrap());
        assert!(!store.add_user("ann", "another", &[]).unwrap(), "a name is not taken twice");
        assert_eq!(store.users_and_keys().unwrap(), (true, false));
        let verifier = store.verifier_of("ann").unwrap().unwrap();
        assert!(verifier.fits("ann", "a long password") && !verifier.fits("ann", "another"));
        assert!(store.user_may_publish("ann", &show).unwrap());
        assert!(!store.user_may_publish("ann", &other).unwrap());
        let rows = store.users().unwrap();
        assert_eq!(rows[0].streams, ["show", "talk"]);
        assert!(rows[0].last_used_at.is_some());
        assert!(store.remove_user("ann").unwrap() && !store.remove_user("ann").unwrap());
        assert!(store.verifier_of("ann").unwrap().is_none());
        assert!(!store.user_may_publish("ann", &show).unwrap());
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(15).any(|window| window == b"a long password"));
        }
    }

    #[test]
    fn the_secret_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path()).unwrap().challenge_secret().unwrap();
        assert_eq!(Store::open(dir.path()).unwrap().challenge_secret().unwrap(), first);
    }
}
