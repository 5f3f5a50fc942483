//! What a receiver of remote write reads, written from the specifications and not from the encoder.

use std::collections::BTreeMap;

/// One sample of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    /// The bits of the value.
    pub(crate) value: u64,
    pub(crate) time_ms: i64,
    /// The type of the metric, in 2.0.
    pub(crate) kind: u64,
}

/// A field of protobuf.
enum Field<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// All samples of a body; panics on what is not by the book.
pub(crate) fn decode(version: &str, body: &[u8]) -> Vec<Sample> {
    let message = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    match version {
        "0.1.0" => of_1(&message),
        "2.0.0" => of_2(&message),
        other => panic!("no version: {other}"),
    }
}

fn of_1(message: &[u8]) -> Vec<Sample> {
    let series = fields(message).into_iter().map(|(number, field)| {
        assert_eq!(number, 1, "timeseries");
        let (mut labels, mut samples) = (Vec::new(), Vec::new());
        for (number, field) in fields(bytes(&field)) {
            match number {
                1 => labels.push(label(bytes(&field))),
                2 => samples.push(sample(bytes(&field))),
                other => panic!("field {other} of a series"),
            }
        }
        of_series(labels, &samples, 0)
    });
    series.collect()
}

fn of_2(message: &[u8]) -> Vec<Sample> {
    let all = fields(message);
    let texts = all.iter().filter(|(number, _)| *number == 4);
    let symbols: Vec<String> = texts.map(|(_, field)| text(bytes(field))).collect();
    assert_eq!(
        symbols.first().map(String::as_str),
        Some(""),
        "the first symbol"
    );
    let series = all.iter().filter(|(number, _)| *number == 5);
    let series = series.map(|(_, field)| {
        let (mut labels, mut samples, mut kind) = (Vec::new(), Vec::new(), 0);
        for (number, field) in fields(bytes(field)) {
            match number {
                1 => {
                    let mut rest = bytes(&field);
                    let mut numbers = Vec::new();
                    while !rest.is_empty() {
                        numbers.push(usize::try_from(varint(&mut rest)).unwrap());
                    }
                    assert!(numbers.len().is_multiple_of(2));
                    let pairs = numbers.chunks(2);
                    labels.extend(
                        pairs.map(|pair| (symbols[pair[0]].clone(), symbols[pair[1]].clone())),
                    );
                }
                2 => samples.push(sample(bytes(&field))),
                5 => {
                    let metadata = fields(bytes(&field));
                    if let Some((1, Field::Number(number))) = metadata.first() {
                        kind = *number;
                    }
                }
                other => panic!("field {other} of a series"),
            }
        }
        of_series(labels, &samples, kind)
    });
    series.collect()
}

fn of_series(labels: Vec<(String, String)>, samples: &[(u64, i64)], kind: u64) -> Sample {
    assert!(
        labels.is_sorted_by(|a, b| a.0 < b.0),
        "labels are sorted and unique: {labels:?}"
    );
    assert!(
        labels
            .iter()
            .all(|(name, value)| !name.is_empty() && !value.is_empty())
    );
    assert_eq!(samples.len(), 1, "one sample a series");
    let (value, time_ms) = samples[0];
    Sample {
        labels: labels.into_iter().collect(),
        value,
        time_ms,
        kind,
    }
}

fn label(message: &[u8]) -> (String, String) {
    let all = fields(message);
    let of = |wanted| {
        let found = all.iter().find(|(number, _)| *number == wanted);
        text(bytes(&found.unwrap().1))
    };
    (of(1), of(2))
}

fn sample(message: &[u8]) -> (u64, i64) {
    let (mut value, mut time_ms) = (0, 0);
    for (number, field) in fields(message) {
        match (number, field) {
            (1, Field::Fixed(bits)) => value = bits,
            (2, Field::Number(ms)) => time_ms = i64::try_from(ms).unwrap(),
            (other, _) => panic!("field {other} of a sample"),
        }
    }
    (value, time_ms)
}

fn fields(mut rest: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut rest)),
            1 => Field::Fixed(u64::from_le_bytes(take(&mut rest, 8).try_into().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut rest)).unwrap();
                Field::Bytes(take(&mut rest, length))
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn bytes<'a>(field: &Field<'a>) -> &'a [u8] {
    let Field::Bytes(bytes) = field else {
        panic!("not a message")
    };
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes")
}
