//! From video's limited-range YUV to what a JPEG file holds: full range, in the matrix of BT.601 whatever the source's was
//! (JFIF 1.02, "Conversion to and from RGB"). Readers of JPEG know no other.

use crate::av::Picture;

/// Kr and Kb of a matrix (ISO/IEC 23091-2 table 4); what is not listed, or not said, is BT.601.
fn weights(matrix: u8) -> (f64, f64) {
    match matrix {
        1 => (0.2126, 0.0722),
        4 => (0.30, 0.11),
        7 => (0.212, 0.087),
        9 | 10 => (0.2627, 0.0593),
        _ => (0.299, 0.114),
    }
}

/// What the source's Cb and Cr, each in -0.5..0.5, add to luma, Cb and Cr of the target.
struct Conversion {
    luma: [f64; 2],
    cb: [f64; 2],
    cr: [f64; 2],
}

impl Conversion {
    fn from(matrix: u8) -> Self {
        let (kr, kb) = weights(matrix);
        let kg = 1.0 - kr - kb;
        let (to_kr, to_kb) = weights(6);
        let to_kg = 1.0 - to_kr - to_kb;
        // Of (Cb, Cr): red, green and blue above luma; luma itself goes through both matrices unchanged.
        let red = [0.0, 2.0 * (1.0 - kr)];
        let green = [-2.0 * kb * (1.0 - kb) / kg, -2.0 * kr * (1.0 - kr) / kg];
        let blue = [2.0 * (1.0 - kb), 0.0];
        let luma = [0, 1].map(|of| to_kr * red[of] + to_kg * green[of] + to_kb * blue[of]);
        Self {
            luma,
            cb: [0, 1].map(|of| (blue[of] - luma[of]) / (2.0 * (1.0 - to_kb))),
            cr: [0, 1].map(|of| (red[of] - luma[of]) / (2.0 * (1.0 - to_kr))),
        }
    }
}

/// Bits behind the point.
const POINT: i32 = 16;

/// Converts a 4:2:0 picture of even size in place. `matrix` is H.273's number of the source's.
pub(super) fn to_jfif(picture: &mut Picture, matrix: u8) {
    let conversion = Conversion::from(matrix);
    // Limited-range chroma spans 224 codes, full-range 255.
    let fixed = |[cb, cr]: [f64; 2]| [cb, cr].map(|factor| (factor * 255.0 / 224.0 * 65536.0).round() as i32);
    let (to_luma, to_cb, to_cr) = (fixed(conversion.luma), fixed(conversion.cb), fixed(conversion.cr));
    let half = 1 << (POINT - 1);
    let clamp = |value: i32| (value >> POINT).clamp(0, 255) as u8;
    let luma_of: Vec<i32> = (0..256).map(|y| (y - 16) * (255 * 65536 / 219) + half).collect();
    let (width, height) = (picture.width() as usize / 2, picture.height() as usize / 2);
    let strides = [0, 1, 2].map(|plane| picture.stride(plane));
    let center = (128 << POINT) + half;
    let mut lift = vec![0; width];
    let (mut cb_row, mut cr_row) = (vec![0; width], vec![0; width]);
    for row in 0..height {
        cb_row.copy_from_slice(&picture.plane(1)[row * strides[1]..][..width]);
        cr_row.copy_from_slice(&picture.plane(2)[row * strides[2]..][..width]);
        for ((lift, cb), cr) in lift.iter_mut().zip(&mut cb_row).zip(&mut cr_row) {
            let from = [i32::from(*cb) - 128, i32::from(*cr) - 128];
            let mix = |factors: [i32; 2]| factors[0] * from[0] + factors[1] * from[1];
            *lift = mix(to_luma);
            *cb = clamp(mix(to_cb) + center);
            *cr = clamp(mix(to_cr) + center);
        }
        picture.plane_mut(1)[row * strides[1]..][..width].copy_from_slice(&cb_row);
        picture.plane_mut(2)[row * strides[2]..][..width].copy_from_slice(&cr_row);
        for line in [2 * row, 2 * row + 1] {
            let line = &mut picture.plane_mut(0)[line * strides[0]..][..2 * width];
            for (pair, lift) in line.chunks_exact_mut(2).zip(&lift) {
                for luma in pair {
                    *luma = clamp(luma_of[usize::from(*luma)] + lift);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limited-range YUV of a colour whose parts are 0..1.
    fn coded(matrix: u8, [red, green, blue]: [f64; 3]) -> [u8; 3] {
        let (kr, kb) = weights(matrix);
        let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
        let cb = (blue - luma) / (2.0 * (1.0 - kb));
        let cr = (red - luma) / (2.0 * (1.0 - kr));
        [16.0 + 219.0 * luma, 128.0 + 224.0 * cb, 128.0 + 224.0 * cr].map(|value| value.round() as u8)
    }

    /// What a reader of JPEG shows for full-range YUV (JFIF's own formulas).
    fn shown([y, cb, cr]: [u8; 3]) -> [f64; 3] {
        let (y, cb, cr) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
        [y + 1.402 * cr, y - 0.344_14 * cb - 0.714_14 * cr, y + 1.772 * cb].map(|part| part.clamp(0.0, 255.0))
    }

    #[test]
    fn colours_come_out_as_they_went_in() {
        for matrix in [1, 2, 4, 5, 6, 7, 9] {
            for colour in [
                [0.0, 0.0, 0.0],
                [1.0, 1.0, 1.0],
                [0.5, 0.5, 0.5],
                [0.9, 0.1, 0.1],
                [0.1, 0.9, 0.1],
                [0.1, 0.1, 0.9],
                [0.8, 0.7, 0.2],
            ] {
                let mut picture = Picture::black(6, 4).unwrap();
                let yuv = coded(matrix, colour);
                (0..3).for_each(|plane| picture.plane_mut(plane).fill(yuv[plane]));
                to_jfif(&mut picture, matrix);
                for (x, y) in [(0, 0), (5, 3)] {
                    let pixel = |plane: usize, half: u32| {
                        picture.plane(plane)[(y >> half) * picture.stride(plane) + (x >> half)]
                    };
                    let rgb = shown([pixel(0, 0), pixel(1, 1), pixel(2, 1)]);
                    for (got, want) in rgb.into_iter().zip(colour) {
                        assert!((got - want * 255.0).abs() <= 3.5, "matrix {matrix}, {colour:?}: {rgb:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn codes_beyond_the_range_are_clipped() {
        let mut picture = Picture::black(2, 2).unwrap();
        picture.plane_mut(0).fill(255);
        to_jfif(&mut picture, 1);
        assert_eq!(picture.plane(0)[0], 255);
        picture.plane_mut(0).fill(0);
        (1..3).for_each(|plane| picture.plane_mut(plane).fill(128));
        to_jfif(&mut picture, 1);
        assert_eq!(picture.plane(0)[0], 0);
    }
}
