//! The demo's picture, drawn by hand so that it needs no font and no filter: a slow gradient, a bouncing ball, a wall
//! clock in seven-segment digits, and the same clock as a strip of black and white cells that a program can read.
//!
//! The strip starts at the top left. Cells are squares of `width / 80` pixels. Cells 0 to 47 are the bits of the
//! milliseconds since 1970 (UTC), least significant first, white for 1; cells 48 to 51 are white, black, white, black.

/// Bits of the clock strip.
const STRIP_BITS: usize = 48;
/// Cells after the bits that a reader checks for.
const STRIP_CHECK: [bool; 4] = [true, false, true, false];
/// Luma of black and white in limited range (ITU-R BT.601 and BT.709).
const BLACK: u8 = 16;
const WHITE: u8 = 235;

/// Segments of the digits 0 to 9, as bits: top, top left, top right, middle, bottom left, bottom right, bottom.
const DIGITS: [u8; 10] = [
    0b111_0111, 0b010_0100, 0b101_1101, 0b110_1101, 0b010_1110, 0b110_1011, 0b111_1011, 0b010_0101,
    0b111_1111, 0b110_1111,
];

/// A planar 8-bit 4:2:0 picture that is drawn anew for each frame.
pub(super) struct Picture {
    width: usize,
    height: usize,
    /// `[rows][width]`.
    luma: Vec<u8>,
    /// `[rows / 2][width / 2]` each.
    chroma: [Vec<u8>; 2],
}

impl Picture {
    /// A picture of even `width` and `height`.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let quarter = width / 2 * (height / 2);
        Self {
            width,
            height,
            luma: vec![BLACK; width * height],
            chroma: [vec![128; quarter], vec![128; quarter]],
        }
    }

    /// The planes Y, U, V.
    pub(super) fn planes(&self) -> [&[u8]; 3] {
        [&self.luma, &self.chroma[0], &self.chroma[1]]
    }

    /// Bytes per row of each plane.
    pub(super) fn strides(&self) -> [usize; 3] {
        [self.width, self.width / 2, self.width / 2]
    }

    /// Draws frame `index`, which is shown at `unix_millis`.
    pub(super) fn draw(&mut self, index: u64, unix_millis: u64) {
        self.background(index);
        self.ball(index);
        self.clock(unix_millis);
        self.strip(unix_millis);
    }

    fn background(&mut self, index: u64) {
        let shift = index as usize;
        for (y, row) in self.luma.chunks_exact_mut(self.width).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = 60 + ((x / 4 + y / 2 + shift) & 63) as u8;
            }
        }
        let half = self.width / 2;
        let (blue, red) = self.chroma.split_at_mut(1);
        let rows = blue[0].chunks_exact_mut(half).zip(red[0].chunks_exact_mut(half));
        for (y, (blue, red)) in rows.enumerate() {
            let slow = (shift / 3 + y) % 256;
            blue.fill(112 + (slow.abs_diff(128) / 4) as u8);
            red.fill(144 - (slow.abs_diff(128) / 4) as u8);
        }
    }

    fn ball(&mut self, index: u64) {
        let radius = (self.height / 10).max(4);
        let bounce = |travel: usize, speed: u64| {
            let period = (2 * travel.max(1)) as u64;
            let at = index * speed % period;
            at.min(period - at) as usize
        };
        let left = bounce(self.width.saturating_sub(2 * radius), self.width as u64 / 160 + 1);
        let top = bounce(self.height.saturating_sub(2 * radius), self.height as u64 / 110 + 1);
        let reach = (radius * radius) as isize;
        for y in 0..2 * radius {
            for x in 0..2 * radius {
                let (dx, dy) = (x as isize - radius as isize, y as isize - radius as isize);
                if dx * dx + dy * dy < reach {
                    self.luma[(top + y) * self.width + left + x] = 180;
                    let at = (top + y) / 2 * (self.width / 2) + (left + x) / 2;
                    self.chroma[0][at] = 90;
                    self.chroma[1][at] = 190;
                }
            }
        }
    }

    /// `HH:MM:SS.mmm`, UTC, in the middle.
    fn clock(&mut self, unix_millis: u64) {
        let day = unix_millis % 86_400_000;
        let (hours, minutes, seconds, millis) =
            (day / 3_600_000, day / 60_000 % 60, day / 1000 % 60, day % 1000);
        let text = format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}");
        let advance = self.width / 16;
        let (digit_width, digit_height) = (advance * 3 / 4, advance * 5 / 4);
        let mut x = (self.width - advance * text.len()) / 2;
        let y = (self.height - digit_height) / 2;
        let margin = advance / 4;
        self.fill(x - margin, y - margin, advance * text.len() + margin, digit_height + 2 * margin, BLACK);
        let thick = (advance / 9).max(2);
        for symbol in text.bytes() {
            match symbol {
                b'0'..=b'9' => {
                    self.digit(DIGITS[usize::from(symbol - b'0')], x, y, digit_width, digit_height, thick)
                }
                b':' => {
                    self.fill(x + digit_width / 2, y + digit_height / 3, thick, thick, WHITE);
                    self.fill(x + digit_width / 2, y + digit_height * 2 / 3, thick, thick, WHITE);
                }
                _ => self.fill(x + digit_width / 2, y + digit_height - thick, thick, thick, WHITE),
            }
            x += advance;
        }
    }

    fn digit(&mut self, segments: u8, x: usize, y: usize, width: usize, height: usize, thick: usize) {
        let half = height / 2;
        let bars = [
            (x, y, width, thick),
            (x, y, thick, half),
            (x + width - thick, y, thick, half),
            (x, y + half - thick / 2, width, thick),
            (x, y + half, thick, half),
            (x + width - thick, y + half, thick, half),
            (x, y + height - thick, width, thick),
        ];
        for (bit, (x, y, width, height)) in bars.into_iter().enumerate() {
            if segments >> bit & 1 == 1 {
                self.fill(x, y, width, height, WHITE);
            }
        }
    }

    fn strip(&mut self, unix_millis: u64) {
        let cell = self.width / 80;
        for bit in 0..STRIP_BITS {
            let luma = if unix_millis >> bit & 1 == 1 { WHITE } else { BLACK };
            self.fill(bit * cell, 0, cell, cell, luma);
        }
        for (at, white) in STRIP_CHECK.into_iter().enumerate() {
            self.fill((STRIP_BITS + at) * cell, 0, cell, cell, if white { WHITE } else { BLACK });
        }
    }

    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, luma: u8) {
        let right = (x + width).min(self.width);
        for row in y..(y + height).min(self.height) {
            self.luma[row * self.width + x..row * self.width + right].fill(luma);
            let half = self.width / 2;
            for plane in &mut self.chroma {
                plane[row / 2 * half + x / 2..row / 2 * half + right / 2].fill(128);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strip_holds_the_clock() {
        for (width, height) in [(1280, 720), (640, 360), (320, 240), (1920, 1080)] {
            let mut picture = Picture::new(width, height);
            let now = 1_795_363_200_123;
            picture.draw(77, now);
            let cell = width / 80;
            let read = |index: usize| picture.luma[cell / 2 * width + index * cell + cell / 2] > 128;
            let value = (0..STRIP_BITS).fold(0u64, |value, bit| value | u64::from(read(bit)) << bit);
            assert_eq!(value, now, "{width}x{height}");
            assert_eq!([48, 49, 50, 51].map(read), STRIP_CHECK);
        }
    }

    #[test]
    fn each_digit_has_its_segments() {
        assert_eq!(DIGITS.map(u8::count_ones), [6, 2, 5, 5, 4, 5, 6, 3, 7, 6]);
    }
}
