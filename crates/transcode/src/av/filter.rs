//! A libavfilter graph with one input and one output: pictures in, pictures out, times in 90 kHz.
//!
//! A graph starts no thread and opens no file: the filters that are used here compute and nothing else, so that it can
//! be built inside of the worker's sandbox.

use ffmpeg_next::{filter, frame, util::error::EAGAIN};

use super::{CodecError, Picture};

const WHAT: &str = "filter";
const INPUT: &str = "in";
const OUTPUT: &str = "out";
/// libavfilter from which on an input must be told its colours beforehand (FFmpeg 7.0).
const TELLS_COLOURS: u32 = 10;

/// Whether this machine's FFmpeg has a filter.
pub(crate) fn has_filter(name: &str) -> bool {
    filter::find(name).is_some()
}

/// A graph for pictures of one kind. What it was built for must be what is put in: format, size and colours.
pub(crate) struct Filter {
    graph: filter::Graph,
}

impl Filter {
    /// Builds a graph of `steps`, in FFmpeg's notation, for pictures like `sample`.
    pub(crate) fn open(steps: &str, sample: &Picture) -> Result<Self, CodecError> {
        let find = |name| {
            filter::find(name).ok_or_else(|| CodecError::new("find", WHAT, format!("{name}: not built in")))
        };
        let mut graph = filter::Graph::new();
        // SAFETY: a plain field of a valid graph, to be set by the user before filters are added.
        unsafe { (*graph.as_mut_ptr()).nb_threads = 1 };
        graph
            .add(&find("buffer")?, INPUT, &input(sample))
            .and_then(|_| {
                graph.add(&find("buffersink").map_err(|_| ffmpeg_next::Error::FilterNotFound)?, OUTPUT, "")
            })
            .map_err(CodecError::at("avfilter_graph_create_filter", WHAT))?;
        // Deinterlacers count in finer units.
        let steps = format!("{steps},settb=1/{}", media::TICKS_PER_SECOND);
        graph
            .output(INPUT, 0)
            .and_then(|parser| parser.input(OUTPUT, 0))
            .and_then(|parser| parser.parse(&steps))
            .map_err(CodecError::at("avfilter_graph_parse_ptr", WHAT))?;
        graph.validate().map_err(CodecError::at("avfilter_graph_config", WHAT))?;
        Ok(Self { graph })
    }

    /// Puts a picture in.
    pub(crate) fn send(&mut self, picture: &Picture) -> Result<(), CodecError> {
        // The input takes the reference that it is given.
        let own = picture.share()?;
        let mut context = self.end(INPUT)?;
        context.source().add(own.frame()).map_err(CodecError::at("av_buffersrc_add_frame", WHAT))
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        let mut context = self.end(INPUT)?;
        context.source().flush().map_err(CodecError::at("av_buffersrc_add_frame", WHAT))
    }

    /// The next picture that is ready.
    pub(crate) fn receive(&mut self) -> Result<Option<Picture>, CodecError> {
        let mut made = frame::Video::empty();
        let mut context = self.end(OUTPUT)?;
        match context.sink().frame(&mut made) {
            Ok(()) => Ok(Some(Picture::of(made))),
            Err(ffmpeg_next::Error::Other { errno: EAGAIN } | ffmpeg_next::Error::Eof) => Ok(None),
            Err(error) => Err(CodecError::new("av_buffersink_get_frame", WHAT, error)),
        }
    }

    /// For a graph that makes one picture of each at once: puts one in and takes out what became of it.
    pub(crate) fn run(&mut self, picture: &Picture) -> Result<Picture, CodecError> {
        self.send(picture)?;
        self.receive()?.ok_or_else(|| CodecError::new("av_buffersink_get_frame", WHAT, "no picture came out"))
    }

    fn end(&mut self, name: &'static str) -> Result<filter::Context, CodecError> {
        self.graph.get(name).ok_or_else(|| CodecError::new("avfilter_graph_get_filter", WHAT, name))
    }
}

/// The input's description of what will come.
fn input(sample: &Picture) -> String {
    let frame = sample.frame();
    let format = frame.format().descriptor().map_or("none", |descriptor| descriptor.name());
    let (num, den) = sample.aspect();
    let mut text = format!(
        "video_size={}x{}:pix_fmt={format}:time_base=1/{}:pixel_aspect={num}/{den}",
        frame.width(),
        frame.height(),
        media::TICKS_PER_SECOND
    );
    if filter::version() >> 16 >= TELLS_COLOURS {
        let range = if sample.format().1 { "pc" } else { "tv" };
        text.push_str(&format!(":colorspace={}:range={range}", sample.colour().matrix));
    }
    text
}
