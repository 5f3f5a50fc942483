//! Records: one gathering of all metrics at one moment, in a compact form of our own, so that either version of
//! remote write and a corrected time can be made from it.
//!
//! ```text
//! version 1 │ run 8 │ monotonic ms 8 │ wall ms 8 │ clock is right 1 │ snappy block:
//!             symbols: count, (length, text)…
//!             series:  count, (kind 1, labels: count, symbol numbers…, value 8)…
//! ```

use std::collections::BTreeMap;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};

use super::backlog::Moment;
use super::varint::{self, Damaged, Reader};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 26;
/// Far more than the series of 64 projects in detail.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The value that says that a series has ended.
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;
/// The only other value that is no number.
const NAN: u64 = 0x7ff8_0000_0000_0001;

pub const NAME: &str = "__name__";

/// When and in which run a record was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub run: u64,
    pub mono_ms: Moment,
    pub wall_ms: u64,
    /// Whether a receiver had confirmed the clock; then `wall_ms` is the time of the samples.
    pub clock_right: bool,
}

/// One gathering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub head: Head,
    pub symbols: Vec<String>,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub kind: Kind,
    /// Symbols: name and value in turn, sorted by the names.
    pub labels: Vec<usize>,
    /// The bits of a float, because a stale marker is one of many values that are no numbers.
    pub value: u64,
}

/// What remote write 2.0 calls a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Counter = 1,
    Gauge = 2,
    Histogram = 3,
}

impl Head {
    pub fn read(record: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(record);
        if reader.byte()? != VERSION {
            return Err(Damaged);
        }
        Ok(Self {
            run: reader.fixed64()?,
            mono_ms: reader.fixed64()?,
            wall_ms: reader.fixed64()?,
            clock_right: reader.byte()? == 1,
        })
    }
}

impl Record {
    pub fn encode(&self) -> Result<Vec<u8>, snap::Error> {
        let mut body = Vec::new();
        varint::put(&mut body, self.symbols.len() as u64);
        for symbol in &self.symbols {
            varint::put_bytes(&mut body, symbol.as_bytes());
        }
        varint::put(&mut body, self.series.len() as u64);
        for series in &self.series {
            body.push(series.kind as u8);
            varint::put(&mut body, series.labels.len() as u64);
            for symbol in &series.labels {
                varint::put(&mut body, *symbol as u64);
            }
            body.extend(series.value.to_le_bytes());
        }
        let head = &self.head;
        let mut record = vec![VERSION];
        for number in [head.run, head.mono_ms, head.wall_ms] {
            record.extend(number.to_le_bytes());
        }
        record.push(u8::from(head.clock_right));
        record.extend(snap::raw::Encoder::new().compress_vec(&body)?);
        Ok(record)
    }

    /// Whatever the bytes are, it ends with a record that can be sent or an error.
    pub fn decode(record: &[u8]) -> Result<Self, Damaged> {
        let head = Head::read(record)?;
        let packed = record.get(HEAD_BYTES..).ok_or(Damaged)?;
        // The length is believed only within bounds.
        let bytes = snap::raw::decompress_len(packed).map_err(|_| Damaged)?;
        if bytes > BODY_BYTES_MAX {
            return Err(Damaged);
        }
        let body = snap::raw::Decoder::new().decompress_vec(packed);
        let body = body.map_err(|_| Damaged)?;
        let mut reader = Reader(&body);
        let symbols = (0..reader.count()?).map(|_| reader.text().map(str::to_owned));
        let symbols = symbols.collect::<Result<Vec<_>, _>>()?;
        let count = reader.count()?;
        let series = (0..count).map(|_| read_series(&mut reader, symbols.len()));
        let series = series.collect::<Result<_, _>>()?;
        let record = Self {
            head,
            symbols,
            series,
        };
        reader.0.is_empty().then_some(record).ok_or(Damaged)
    }
}

fn read_series(reader: &mut Reader<'_>, symbols: usize) -> Result<Series, Damaged> {
    let kind = match reader.byte()? {
        1 => Kind::Counter,
        2 => Kind::Gauge,
        3 => Kind::Histogram,
        _ => return Err(Damaged),
    };
    let count = reader.count()?;
    let labels = (0..count).map(|_| {
        let symbol = usize::try_from(reader.varint()?).map_err(|_| Damaged)?;
        (symbol < symbols).then_some(symbol).ok_or(Damaged)
    });
    let labels = labels.collect::<Result<Vec<_>, _>>()?;
    if labels.len() % 2 != 0 {
        return Err(Damaged);
    }
    Ok(Series {
        kind,
        labels,
        value: reader.fixed64()?,
    })
}

/// The labels of a series, sorted by their names.
type Labels = Vec<(String, String)>;

/// Makes records of gatherings. It remembers the series of the last one, to say which have ended.
#[derive(Debug, Default)]
pub struct Gathering {
    last: BTreeMap<Labels, Kind>,
}

impl Gathering {
    pub fn record(&mut self, head: Head, families: &[MetricFamily]) -> Record {
        let mut now = BTreeMap::new();
        for family in families {
            add_family(family, &mut now);
        }
        let ended = std::mem::take(&mut self.last);
        self.last = now
            .iter()
            .map(|(l, (kind, _))| (l.clone(), *kind))
            .collect();
        for (labels, kind) in ended {
            now.entry(labels).or_insert((kind, STALE_NAN));
        }
        let mut known = BTreeMap::new();
        let mut symbols = Vec::new();
        let mut number = |text: String| {
            *known.entry(text).or_insert_with_key(|text| {
                symbols.push(text.clone());
                symbols.len() - 1
            })
        };
        let series = now.into_iter().map(|(labels, (kind, value))| {
            let labels = labels.into_iter();
            let labels = labels.flat_map(|(name, value)| [number(name), number(value)]);
            Series {
                kind,
                labels: labels.collect(),
                value,
            }
        });
        let series = series.collect();
        Record {
            head,
            symbols,
            series,
        }
    }
}

fn add_family(family: &MetricFamily, all: &mut BTreeMap<Labels, (Kind, u64)>) {
    let name = family.name();
    for metric in family.get_metric() {
        let mut add = |ending: &str, bound: Option<String>, kind, value: f64| {
            let pairs = metric.get_label().iter();
            let pairs =
                pairs.map(|pair: &LabelPair| (pair.name().to_owned(), pair.value().to_owned()));
            let mut labels: Labels = pairs.collect();
            labels.push((NAME.to_owned(), format!("{name}{ending}")));
            labels.extend(bound.map(|bound| ("le".to_owned(), bound)));
            // To a receiver a label without a value is none.
            labels.retain(|(_, value)| !value.is_empty());
            labels.sort_unstable();
            let bits = if value.is_nan() { NAN } else { value.to_bits() };
            all.insert(labels, (kind, bits));
        };
        match family.get_field_type() {
            MetricType::COUNTER => add("", None, Kind::Counter, metric.get_counter().get_value()),
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                let count = count_of(histogram.get_sample_count());
                for bucket in histogram.get_bucket() {
                    let (bound, below) = (bucket.upper_bound(), bucket.cumulative_count());
                    // `+Inf` is added once, whether the registry has it or not.
                    if bound.is_finite() {
                        add(
                            "_bucket",
                            Some(bound.to_string()),
                            Kind::Histogram,
                            count_of(below),
                        );
                    }
                }
                add("_bucket", Some("+Inf".to_owned()), Kind::Histogram, count);
                add("_sum", None, Kind::Histogram, histogram.get_sample_sum());
                add("_count", None, Kind::Histogram, count);
            }
            _ => add("", None, Kind::Gauge, metric.get_gauge().get_value()),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are below 2^52")]
fn count_of(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Histogram, HistogramOpts, IntGaugeVec, Opts, Registry};

    const HEAD: Head = Head {
        run: 7,
        mono_ms: 1,
        wall_ms: 2,
        clock_right: true,
    };

    fn text(record: &Record) -> Vec<String> {
        let symbol = |number: &usize| record.symbols[*number].as_str();
        let series = record.series.iter();
        let lines = series.map(|series| {
            let labels: Vec<&str> = series.labels.iter().map(symbol).collect();
            let labels: Vec<String> = labels.chunks(2).map(|pair| pair.join("=")).collect();
            let value = match series.value {
                STALE_NAN => "stale".to_owned(),
                bits => f64::from_bits(bits).to_string(),
            };
            format!("{} {value}", labels.join(","))
        });
        lines.collect()
    }

    #[test]
    fn a_gathering_has_all_series_and_says_which_ended() {
        let registry = Registry::new();
        let gauges = IntGaugeVec::new(Opts::new("g", "help"), &["project", "Z"]).expect("valid");
        let options = HistogramOpts::new("h", "help").buckets(vec![0.5, 2.0]);
        let histogram = Histogram::with_opts(options).expect("valid");
        registry.register(Box::new(gauges.clone())).expect("once");
        registry
            .register(Box::new(histogram.clone()))
            .expect("once");
        gauges.with_label_values(&["a", ""]).set(3);
        histogram.observe(1.0);
        let mut gathering = Gathering::default();
        let first = gathering.record(HEAD, &registry.gather());
        let expected = [
            "__name__=g,project=a 3",
            "__name__=h_bucket,le=+Inf 1",
            "__name__=h_bucket,le=0.5 0",
            "__name__=h_bucket,le=2 1",
            "__name__=h_count 1",
            "__name__=h_sum 1",
        ];
        assert_eq!(text(&first), expected);
        gauges.reset();
        gauges.with_label_values(&["b", "z"]).set(4);
        let second = gathering.record(HEAD, &registry.gather());
        let (ended, new) = ("__name__=g,project=a stale", "Z=z,__name__=g,project=b 4");
        let lines = text(&second);
        assert!(lines.iter().any(|line| line == ended), "{lines:?}");
        assert!(lines.iter().any(|line| line == new), "{lines:?}");
        // Said once.
        assert_eq!(gathering.record(HEAD, &registry.gather()).series.len(), 6);
        let bytes = second.encode().expect("short");
        assert_eq!(Record::decode(&bytes), Ok(second));
        assert_eq!(Head::read(&bytes), Ok(HEAD));
    }

    #[test]
    fn damaged_bytes_are_an_error_or_a_record_but_no_panic() {
        let labels = (0..40).collect::<Vec<usize>>();
        let series = Series {
            kind: Kind::Gauge,
            labels,
            value: 1,
        };
        let record = Record {
            head: HEAD,
            symbols: (0..40).map(|n| n.to_string()).collect(),
            series: vec![series; 9],
        };
        let bytes = record.encode().expect("short");
        for at in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..at]), Err(Damaged));
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let _ = Record::decode(&damaged);
            }
        }
        // A body that claims to be 4 GB.
        let mut huge = bytes[..HEAD_BYTES].to_vec();
        huge.extend([0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
        assert_eq!(Record::decode(&huge), Err(Damaged));
    }
}
