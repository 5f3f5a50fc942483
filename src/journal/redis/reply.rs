//! Parses the answers of Redis: values, records, and errors in the store's terms.

use redis::{ErrorKind, RedisError, ServerError, Value};

use super::keys::cursor_of;
use crate::engine::ids::Cursor;
use crate::journal::shared::{Batch, NoBatch, StoreError, StreamRecord};

/// How many characters of Redis' own text an error repeats.
const SAID_CHARS_MAX: usize = 200;

/// The store's error for a refusal of Redis.
pub(super) fn refusal(error: &ServerError) -> StoreError {
    let detail = error.details().unwrap_or_default();
    let text = said(&format!("{} {detail}", error.code()));
    match error.code() {
        "OOM" => StoreError::Full(text),
        "WRONGTYPE" => StoreError::Corrupt(text),
        "ERR" if detail.contains("equal or smaller") => StoreError::EpochEnded,
        _ => StoreError::Refused(text),
    }
}

/// The store's error for a request without an answer. A failed login comes here too.
pub(super) fn failure(error: &RedisError) -> StoreError {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            let text =
                "it does not accept the user or the password: check redis.user and redis.password";
            StoreError::Refused(text.to_owned())
        }
        ErrorKind::Server(_) | ErrorKind::Extension => StoreError::Refused(said(&text)),
        ErrorKind::Parse => {
            StoreError::Unreachable("it does not speak the protocol of Redis".to_owned())
        }
        _ => StoreError::Unreachable(said(&text)),
    }
}

/// Text of Redis, safe to show. Redis repeats the arguments of a command that it does not know, and the argument of a
/// login is the password.
pub(super) fn said(text: &str) -> String {
    let told = text.split(", with args beginning with").next();
    let told = told.unwrap_or_default().trim();
    let printable = told.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(SAID_CHARS_MAX).collect()
}

/// The answer has a type that this command never returns.
pub(super) fn odd(what: &str) -> StoreError {
    StoreError::Corrupt(format!("the answer to {what} is not Redis'"))
}

pub(super) fn checked(value: Value) -> Result<Value, StoreError> {
    match value {
        Value::ServerError(error) => Err(refusal(&error)),
        value => Ok(value),
    }
}

pub(super) fn array(value: Value, what: &str) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        _ => Err(odd(what)),
    }
}

pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        Value::Okay => Some(b"OK".to_vec()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

/// `None` if the value is not text, for instance nil.
pub(super) fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

/// A value of one of our keys, parsed. `None` if it is not there; an error if it does not have our format.
pub(super) fn parsed<T>(
    value: Value,
    what: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    if value == Value::Nil {
        return Ok(None);
    }
    let text = text(value).unwrap_or_default();
    let found = parse(&text).ok_or_else(|| {
        StoreError::Corrupt(format!(
            "{what} is {:?}, which coord did not write",
            said(&text)
        ))
    })?;
    Ok(Some(found))
}

pub(super) fn cursor(value: Value, what: &str) -> Result<Option<Cursor>, StoreError> {
    parsed(value, what, cursor_of)
}

/// `[[id, [field, value, …]], …]`.
pub(super) fn records(value: Value) -> Result<Vec<StreamRecord>, StoreError> {
    array(value, "XRANGE")?.into_iter().map(record).collect()
}

/// `[[key, records]]`, or nil when nothing came.
pub(super) fn followed(value: Value) -> Result<Vec<StreamRecord>, StoreError> {
    match array(value, "XREAD")?.into_iter().next() {
        None => Ok(Vec::new()),
        Some(stream) => {
            let found = array(stream, "XREAD")?.into_iter().nth(1);
            records(found.ok_or_else(|| odd("XREAD"))?)
        }
    }
}

fn record(value: Value) -> Result<StreamRecord, StoreError> {
    let mut parts = array(value, "XRANGE")?.into_iter();
    let (Some(id), Some(fields)) = (parts.next(), parts.next()) else {
        return Err(odd("XRANGE"));
    };
    let at = cursor(id, "the id of a record")?.ok_or_else(|| odd("XRANGE"))?;
    let mut fields = array(fields, "XRANGE")?.into_iter();
    let mut batch = None;
    // Fields of a later version are skipped.
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        if bytes(name).as_deref() == Some(b"b") {
            batch = bytes(value);
        }
    }
    let batch = batch.map_or(Err(NoBatch), Batch::parse);
    let odd = |error| StoreError::Corrupt(format!("field b of the record {at}: {error}"));
    Ok(StreamRecord {
        at,
        batch: batch.map_err(odd)?,
    })
}
