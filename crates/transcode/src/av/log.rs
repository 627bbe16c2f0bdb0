//! FFmpeg's log. Its lines go to `tracing` at debug level: a broken stream writes many, and what they mean for the
//! stream is counted elsewhere.

use std::sync::Once;

use ffmpeg_next::util::log::Level;

static ONCE: Once = Once::new();

/// Sends FFmpeg's errors to `tracing`; less than errors is dropped. The first call of this or [`to_stderr`] counts for the
/// whole process.
pub(crate) fn quiet() {
    ONCE.call_once(|| {
        ffmpeg_next::util::error::register_all(); // or its errors have no words
        ffmpeg_next::util::log::set_level(Level::Error);
        route::install();
    });
}

/// Leaves FFmpeg's errors on stderr, which the host of a worker reads.
pub(crate) fn to_stderr() {
    ONCE.call_once(|| {
        ffmpeg_next::util::error::register_all();
        ffmpeg_next::util::log::set_level(Level::Error);
    });
}

/// Where C's `va_list` is handed on as a pointer; elsewhere FFmpeg keeps writing to stderr.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod route {
    use std::ffi::{CStr, c_char, c_int, c_void};

    use ffmpeg_next::ffi::{__va_list_tag, AV_LOG_ERROR, av_log_format_line2, av_log_set_callback};

    pub(super) fn install() {
        // SAFETY: `line` has the signature asked for, may be called from any thread, and lives as long as the process.
        unsafe { av_log_set_callback(Some(line)) }
    }

    unsafe extern "C" fn line(
        from: *mut c_void,
        level: c_int,
        format: *const c_char,
        args: *mut __va_list_tag,
    ) {
        if level > AV_LOG_ERROR {
            return;
        }
        let mut buffer = [0 as c_char; 512];
        let mut prefix = 1;
        // SAFETY: FFmpeg calls with arguments that av_log_format_line2 takes as they are; it writes at most the
        // buffer's length, and always a NUL within it.
        let text = unsafe {
            av_log_format_line2(
                from,
                level,
                format,
                args,
                buffer.as_mut_ptr(),
                buffer.len() as c_int,
                &mut prefix,
            );
            CStr::from_ptr(buffer.as_ptr())
        };
        tracing::debug!(target: "transcode::ffmpeg", "{}", text.to_string_lossy().trim_end());
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod route {
    pub(super) fn install() {}
}
