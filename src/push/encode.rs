//! The two forms of a request of remote write, as protobuf in a snappy block.
//!
//! ```text
//! 1.0  WriteRequest { 1: TimeSeries { 1: Label { 1: name, 2: value }, 2: Sample { 1: double, 2: ms } } }
//! 2.0  Request { 4: symbols, the first "", 5: TimeSeries { 1: symbol numbers, 2: Sample, 5: Metadata { 1: type } } }
//! ```

use std::collections::BTreeMap;

use super::series::{Record, Series};
use super::varint;
pub use crate::config::PushProtocol as Protocol;

/// Labels of every series, unless it has one of the same name itself.
pub type ExternalLabels = BTreeMap<String, String>;

/// What a request says of its form: version and media type.
pub(super) fn form(protocol: Protocol) -> (&'static str, &'static str) {
    match protocol {
        Protocol::V1 => ("0.1.0", "application/x-protobuf"),
        Protocol::V2 => (
            "2.0.0",
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        ),
    }
}

/// A request without samples: it asks whether the receiver would take some.
pub fn empty(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::V1 => Vec::new(),
        // The first symbol, which is the empty text.
        Protocol::V2 => vec![0x22, 0],
    }
}

/// All samples of a record, at one time.
pub fn samples(
    protocol: Protocol,
    record: &Record,
    time_ms: u64,
    labels: &ExternalLabels,
) -> Vec<u8> {
    let mut out = Vec::new();
    match protocol {
        Protocol::V1 => {
            for series in &record.series {
                field(&mut out, 1, &series_1(record, series, time_ms, labels));
            }
        }
        Protocol::V2 => {
            let mut symbols = Symbols::default();
            symbols.number("");
            let mut all = Vec::new();
            for series in &record.series {
                let series = series_2(record, series, time_ms, labels, &mut symbols);
                field(&mut all, 5, &series);
            }
            for text in &symbols.texts {
                field(&mut out, 4, text.as_bytes());
            }
            out.extend(all);
        }
    }
    out
}

/// As it is sent.
pub fn packed(message: &[u8]) -> Result<Vec<u8>, snap::Error> {
    snap::raw::Encoder::new().compress_vec(message)
}

fn series_1(record: &Record, series: &Series, time_ms: u64, labels: &ExternalLabels) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in merged(record, series, labels) {
        let mut label = Vec::new();
        field(&mut label, 1, name.as_bytes());
        field(&mut label, 2, value.as_bytes());
        field(&mut out, 1, &label);
    }
    field(&mut out, 2, &sample(series.value, time_ms));
    out
}

fn series_2<'a>(
    record: &'a Record,
    series: &Series,
    time_ms: u64,
    labels: &'a ExternalLabels,
    symbols: &mut Symbols<'a>,
) -> Vec<u8> {
    let (mut out, mut numbers) = (Vec::new(), Vec::new());
    for (name, value) in merged(record, series, labels) {
        varint::put(&mut numbers, symbols.number(name));
        varint::put(&mut numbers, symbols.number(value));
    }
    field(&mut out, 1, &numbers);
    field(&mut out, 2, &sample(series.value, time_ms));
    field(&mut out, 5, &[0x08, series.kind as u8]);
    out
}

fn sample(value: u64, time_ms: u64) -> Vec<u8> {
    let mut out = vec![0x09];
    out.extend(value.to_le_bytes());
    out.push(0x10);
    varint::put(&mut out, time_ms);
    out
}

/// A field of bytes; its number is below 16.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint::put_bytes(out, bytes);
}

/// All labels of a series, sorted by their names, as receivers demand it.
fn merged<'a>(
    record: &'a Record,
    series: &Series,
    labels: &'a ExternalLabels,
) -> BTreeMap<&'a str, &'a str> {
    let external = labels.iter();
    let external = external.map(|(name, value)| (name.as_str(), value.as_str()));
    let mut merged: BTreeMap<&str, &str> = external.collect();
    for pair in series.labels.chunks_exact(2) {
        merged.insert(&record.symbols[pair[0]], &record.symbols[pair[1]]);
    }
    merged.retain(|_, value| !value.is_empty());
    merged
}

/// The texts of a request, each once.
#[derive(Default)]
struct Symbols<'a> {
    numbers: BTreeMap<&'a str, u64>,
    texts: Vec<&'a str>,
}

impl<'a> Symbols<'a> {
    fn number(&mut self, text: &'a str) -> u64 {
        let next = self.texts.len() as u64;
        let number = *self.numbers.entry(text).or_insert(next);
        if number == next {
            self.texts.push(text);
        }
        number
    }
}
