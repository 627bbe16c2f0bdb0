//! The catalogue of recordings: a row for each, as the archive tells of them.

use archive::{Catalog, Row};
use media::RecordingId;
use rusqlite::params;

use super::{Store, StoreError};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS recordings (
        id TEXT PRIMARY KEY,
        stream TEXT NOT NULL,
        started_at_ms INTEGER NOT NULL,
        ended_at_ms INTEGER,
        duration_ms INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        lost_segments INTEGER NOT NULL
    ) STRICT;
";

/// SQLite's integers are signed; none of ours comes near.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl Store {
    /// All recordings, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn recordings(&self) -> Result<Vec<Row>, StoreError> {
        self.with(|db| {
            let mut query = db.prepare(
                "SELECT id, ended_at_ms, duration_ms, bytes, lost_segments FROM recordings
                 ORDER BY started_at_ms, id",
            )?;
            let rows = query.query_map([], |row| {
                let ended: Option<i64> = row.get(1)?;
                let numbers = (row.get(2)?, row.get(3)?, row.get(4)?);
                Ok((row.get::<_, String>(0)?, ended, numbers))
            })?;
            let mut recordings = Vec::new();
            for row in rows {
                let (id, ended, (duration, bytes, lost)) = row?;
                if let Ok(id) = id.parse() {
                    recordings.push(Row {
                        id,
                        ended_unix_ms: ended.map(unsigned),
                        duration_ms: unsigned(duration),
                        bytes: unsigned(bytes),
                        lost_segments: unsigned(lost),
                    });
                }
            }
            Ok(recordings)
        })
    }

    fn put_recording(&self, row: &Row) -> Result<(), StoreError> {
        let sql = "INSERT INTO recordings (id, stream, started_at_ms, ended_at_ms, duration_ms, bytes, lost_segments)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (id) DO UPDATE SET ended_at_ms = ?4, duration_ms = ?5, bytes = ?6, lost_segments = ?7";
        let values = params![
            row.id.to_string(),
            row.id.stream.as_str(),
            signed(row.id.start.0),
            row.ended_unix_ms.map(signed),
            signed(row.duration_ms),
            signed(row.bytes),
            signed(row.lost_segments),
        ];
        self.with(|db| db.execute(sql, values)).map(drop)
    }
}

impl Catalog for Store {
    fn rows(&self) -> Vec<Row> {
        self.recordings().unwrap_or_else(|error| {
            tracing::error!(%error, "recordings cannot be listed");
            Vec::new()
        })
    }

    fn put(&self, row: &Row) {
        if let Err(error) = self.put_recording(row) {
            tracing::error!(%error, recording = %row.id, "a recording cannot be noted; the next start finds it");
        }
    }

    fn remove(&self, id: &RecordingId) {
        let gone =
            self.with(|db| db.execute("DELETE FROM recordings WHERE id = ?1", params![id.to_string()]));
        if let Err(error) = gone {
            tracing::error!(%error, recording = %id, "a removed recording stays in the list");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut row = Row {
            id: "show-7".parse().unwrap(),
            ended_unix_ms: None,
            duration_ms: 1,
            bytes: u64::MAX,
            lost_segments: 3,
        };
        store.put(&row);
        row.ended_unix_ms = Some(9);
        row.bytes = 4;
        store.put(&row);
        assert_eq!(Store::open(dir.path()).unwrap().rows(), [row.clone()]);
        store.remove(&row.id);
        store.remove(&row.id);
        assert!(store.rows().is_empty());
    }
}
