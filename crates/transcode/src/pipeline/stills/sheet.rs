//! The sheet that is being filled.

use media::MediaTime;

use crate::{
    SHEET_COLUMNS, SHEET_ROWS, Sheet,
    av::{CodecError, Picture},
};

/// Sheets one after the other.
#[derive(Default)]
pub(super) struct Sheets {
    open: Option<(Picture, Sheet)>,
    /// Number of the next sheet.
    next: u32,
}

impl Sheets {
    /// Adds a tile whose pixels are as they will be coded, to a new sheet where the last is full or its tiles have another
    /// size. Gives the sheet as it is now.
    pub(super) fn add(&mut self, tile: &Picture, at: MediaTime) -> Result<(Picture, Sheet), CodecError> {
        let size = (tile.width(), tile.height());
        let fits =
            |(_, sheet): &(Picture, Sheet)| !sheet.is_full() && (sheet.tile_width, sheet.tile_height) == size;
        if !self.open.as_ref().is_some_and(fits) {
            let picture = Picture::black(size.0 * SHEET_COLUMNS, size.1 * SHEET_ROWS)?;
            let sheet =
                Sheet { number: self.next, tile_width: size.0, tile_height: size.1, tiles: Vec::new() };
            self.open = Some((picture, sheet));
            self.next = self.next.wrapping_add(1);
        }
        let (picture, sheet) = self.open.as_mut().expect("made above");
        let place = sheet.tiles.len() as u32; // at most SHEET_TILES
        let (column, row) = (place % SHEET_COLUMNS, place / SHEET_COLUMNS);
        copy(tile, picture, (column * size.0) as usize, (row * size.1) as usize);
        sheet.tiles.push(at);
        // Shared: whoever codes it lets go of it before the next tile comes.
        Ok((picture.share()?, sheet.clone()))
    }
}

/// Copies a 4:2:0 picture into another at even `x` and `y`, where it fits.
fn copy(from: &Picture, into: &mut Picture, x: usize, y: usize) {
    for plane in 0..3 {
        let half = usize::from(plane > 0);
        let (width, rows) = ((from.width() as usize) >> half, (from.height() as usize) >> half);
        let (x, y) = (x >> half, y >> half);
        let (from_stride, into_stride) = (from.stride(plane), into.stride(plane));
        let source = from.plane(plane);
        let target = into.plane_mut(plane);
        for row in 0..rows {
            let at = (y + row) * into_stride + x;
            target[at..at + width].copy_from_slice(&source[row * from_stride..][..width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(width: u32, height: u32, value: u8) -> Picture {
        let mut picture = Picture::black(width, height).unwrap();
        (0..3).for_each(|plane| picture.plane_mut(plane).fill(value));
        picture
    }

    #[test]
    fn tiles_fill_rows_then_columns_then_the_next_sheet() {
        let mut sheets = Sheets::default();
        for nth in 0..27_u32 {
            let value = 20 + nth as u8;
            let at = MediaTime::from_ticks(i64::from(nth));
            let (picture, sheet) = sheets.add(&tile(160, 90, value), at).unwrap();
            let place = nth % 25;
            assert_eq!((sheet.number, sheet.tiles.len() as u32), (nth / 25, place + 1));
            assert_eq!(sheet.is_full(), place == 24);
            assert_eq!((picture.width(), picture.height()), (800, 450));
            let (x, y) = ((place % 5 * 160) as usize, (place / 5 * 90) as usize);
            for (plane, half) in [(0, 0), (1, 1), (2, 1)] {
                let stride = picture.stride(plane);
                let pixel = |x: usize, y: usize| picture.plane(plane)[(y >> half) * stride + (x >> half)];
                assert_eq!((pixel(x, y), pixel(x + 159, y + 89)), (value, value), "tile {nth}");
                if place > 0 {
                    assert_eq!(pixel(0, 0), value - place as u8, "the first of the sheet stays");
                }
            }
        }
    }

    #[test]
    fn another_shape_begins_another_sheet() {
        let mut sheets = Sheets::default();
        sheets.add(&tile(160, 90, 1), MediaTime::ZERO).unwrap();
        let (picture, sheet) = sheets.add(&tile(90, 160, 1), MediaTime::from_ticks(1)).unwrap();
        assert_eq!((picture.width(), picture.height()), (450, 800));
        assert_eq!((sheet.number, &sheet.tiles[..]), (1, &[MediaTime::from_ticks(1)][..]));
    }
}
