//! Request ids: which operations take one, and how one is put into parameters.

use std::sync::LazyLock;

use schemars::SchemaGenerator;
use serde_json::value::RawValue;

use super::operations::{OPERATIONS, Operation, OperationInfo};

/// Opening a session twice is harmless: the extra session holds nothing and ends after its grace. A
/// remembered answer would not contain the secret that resumes the session.
pub fn takes_request_id(operation: Operation) -> bool {
    static TAKING: LazyLock<Vec<Operation>> = LazyLock::new(|| {
        let taking = OPERATIONS.iter().filter(|info| schema_has_it(info));
        taking.map(|info| info.operation).collect()
    });
    operation != Operation::SessionOpen && TAKING.contains(&operation)
}

/// Puts an id into `params`, a JSON object, if the operation takes one and it has none yet. The rest
/// of the text does not change: payloads are carried verbatim. The id must need no escapes.
pub fn stamped(operation: Operation, params: String, id: impl FnOnce(&str) -> String) -> String {
    if !takes_request_id(operation) || has_request_id(&params) {
        return params;
    }
    let Some(fields) = params.trim_start().strip_prefix('{') else {
        return params;
    };
    let comma = if fields.trim_start().starts_with('}') {
        ""
    } else {
        ","
    };
    format!(r#"{{"request_id":"{}"{comma}{fields}"#, id(&params))
}

fn schema_has_it(info: &OperationInfo) -> bool {
    let mut generator = SchemaGenerator::default();
    let schema = (info.params)(&mut generator);
    let definitions = generator.take_definitions(true);
    let reference = schema.get("$ref").and_then(|text| text.as_str());
    let name = reference.and_then(|text| text.rsplit('/').next());
    let object = name.and_then(|name| definitions.get(name));
    let object = object.unwrap_or(schema.as_value());
    object.pointer("/properties/request_id").is_some()
}

fn has_request_id(params: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Given<'a> {
        #[serde(borrow, default)]
        request_id: Option<&'a RawValue>,
    }
    serde_json::from_str::<Given>(params).is_ok_and(|given| given.request_id.is_some())
}
