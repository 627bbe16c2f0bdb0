//! Thumbnail, poster and storyboard of a stream: what its owner shows, and what one request for them gets.

use std::sync::Arc;

use axum::http::header;
use bytes::Bytes;
use hls::{snapshot::Document, storyboard::Storyboard};

use crate::{
    headers::Ask,
    reply::{Content, FOREVER, Form, REVALIDATE, Reply},
};

const JPEG: &str = "image/jpeg";
const VTT: &str = "text/vtt; charset=utf-8";

/// The pictures of a stream at one moment. A clone shares.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// For lists of streams.
    pub thumbnail: Option<Arc<Picture>>,
    /// In place of the player's picture.
    pub poster: Option<Arc<Picture>>,
    storyboard: Option<Arc<Document>>,
    sheets: Vec<Sheet>,
}

/// A JPEG file.
#[derive(Debug)]
pub struct Picture {
    jpeg: Bytes,
    unix_micros: i64,
    etag: String,
}

#[derive(Clone, Debug)]
struct Sheet {
    id: u64,
    full: bool,
    picture: Arc<Picture>,
}

impl Picture {
    /// A file whose picture was taken so many microseconds after 1970.
    pub fn new(jpeg: Bytes, unix_micros: i64) -> Self {
        let etag = format!("\"{unix_micros:x}-{:x}\"", jpeg.len());
        Self { jpeg, unix_micros, etag }
    }

    /// Milliseconds since 1970: another number, another picture.
    pub(crate) fn unix_millis(&self) -> i64 {
        self.unix_micros.div_euclid(1000)
    }

    /// When it was taken, in HTTP's form (RFC 9110 §5.6.7).
    fn date(&self) -> Option<String> {
        let time = jiff::Timestamp::from_microsecond(self.unix_micros).ok()?;
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
    }

    fn reply(&self, cache: &'static str, ask: &Ask<'_>) -> Reply {
        let date = self.date();
        let seen = date.as_deref().is_some_and(|date| ask.has_of(date));
        let content = Content {
            mime: JPEG,
            cache,
            etag: Some(&self.etag),
            form: Form::Media,
            body: self.jpeg.clone().into(),
        };
        let reply = if seen { content.not_modified() } else { content.reply(ask) };
        match date {
            Some(date) => reply.with(header::LAST_MODIFIED, &date),
            None => reply,
        }
    }
}

impl Pictures {
    /// Replaces the storyboard: its text and all its sheets.
    pub fn show(&mut self, storyboard: &Storyboard) {
        let shown = |sheet: &hls::storyboard::Sheet| {
            let newest = sheet.tiles.last().copied().unwrap_or(0);
            let same = |old: &&Sheet| old.id == sheet.id && old.picture.unix_micros == newest;
            let picture = match self.sheets.iter().find(same) {
                Some(old) => Arc::clone(&old.picture),
                None => Arc::new(Picture::new(sheet.jpeg.clone(), newest)),
            };
            Sheet { id: sheet.id, full: sheet.full, picture }
        };
        self.sheets = storyboard.sheets().map(shown).collect();
        self.storyboard = (!self.sheets.is_empty()).then(|| Arc::new(Document::new(storyboard.render())));
    }

    /// Whether there is a storyboard.
    pub(crate) fn has_storyboard(&self) -> bool {
        self.storyboard.is_some()
    }
}

/// `thumbnail.jpg` or `poster.jpg`. Asked for anew each time: the next picture has the same address.
pub(crate) fn single(name: &str, picture: Option<&Arc<Picture>>, ask: &Ask<'_>) -> Reply {
    match picture {
        Some(picture) => picture.reply(REVALIDATE, ask),
        None => none_yet(name),
    }
}

/// `storyboard.vtt`.
pub(crate) fn storyboard(name: &str, pictures: &Pictures, ask: &Ask<'_>) -> Reply {
    let Some(document) = &pictures.storyboard else { return none_yet(name) };
    let (form, etag, body) = if ask.gzip {
        (Form::Gzip, document.gzip_etag(), document.gzip())
    } else {
        (Form::Plain, document.etag(), document.body())
    };
    Content { mime: VTT, cache: REVALIDATE, etag: Some(etag), form, body: body.clone().into() }.reply(ask)
}

/// `storyboard-{id}.jpg`. It gets tiles until it is full; from then on it never changes.
pub(crate) fn sheet(name: &str, pictures: &Pictures, id: u64, ask: &Ask<'_>) -> Reply {
    match pictures.sheets.iter().find(|sheet| sheet.id == id) {
        Some(sheet) => sheet.picture.reply(if sheet.full { FOREVER } else { REVALIDATE }, ask),
        None if pictures.sheets.is_empty() => none_yet(name),
        None => Reply::not_found(
            &format!(
                "Sheet {id} of {name:?} has left the live window; /live/{name}/storyboard.vtt names those there are."
            ),
            Some(name),
        ),
    }
}

fn none_yet(name: &str) -> Reply {
    Reply::not_found(
        &format!(
            "The stream {name:?} has no pictures yet: they come with its first seconds, unless it is sound alone or pictures are turned off."
        ),
        Some(name),
    )
}
