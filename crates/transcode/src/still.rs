//! Single pictures for people: thumbnails, posters, and sheets of small ones for scrubbing.

use bytes::Bytes;
use media::{MediaSpan, MediaTime};
use serde::{Deserialize, Serialize};

/// Longest JPEG of a still, in bytes. Larger ones, which only noise makes, are left out.
pub const MAX_STILL: usize = 1 << 20;
/// Longer side of a tile, in pixels.
pub(crate) const TILE: u32 = 160;
/// Tiles of a sheet from left to right, and from top to bottom.
pub const SHEET_COLUMNS: u32 = 5;
/// Rows of a sheet.
pub const SHEET_ROWS: u32 = 5;
/// Tiles of a full sheet.
pub const SHEET_TILES: usize = (SHEET_COLUMNS * SHEET_ROWS) as usize;

/// Which stills are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StillsJob {
    /// From one thumbnail to the next, at least. Each is a tile of a sheet, too; a poster comes with every sixth.
    pub interval: MediaSpan,
}

/// A picture as a JPEG file: 8 bits, 4:2:0, full range, in the matrix that JFIF prescribes (BT.601).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Still {
    /// When the source showed it. Of a sheet: its newest tile.
    pub at: MediaTime,
    /// What it is for.
    pub kind: StillKind,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// The file, at most [`MAX_STILL`] bytes.
    pub jpeg: Bytes,
}

/// What a still is for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StillKind {
    /// For lists of streams: 320 pixels on its longer side at most.
    Thumbnail,
    /// In place of the player's picture: 1280 pixels on its longer side at most.
    Poster,
    /// Tiles for scrubbing; sent again with each tile that is added.
    Sheet(Sheet),
}

/// What a sheet shows: tiles from left to right, then from top to bottom. Places without a tile yet are black.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sheet {
    /// Counts the sheets of one transcoder. A new number means that the one before stays as it is.
    pub number: u32,
    /// Width of a tile in pixels: 160 on the longer side at most.
    pub tile_width: u32,
    /// Height of a tile in pixels.
    pub tile_height: u32,
    /// When the source showed each tile, rising; at most [`SHEET_TILES`].
    pub tiles: Vec<MediaTime>,
}

impl Sheet {
    /// Whether no further tile fits.
    pub fn is_full(&self) -> bool {
        self.tiles.len() >= SHEET_TILES
    }
}
