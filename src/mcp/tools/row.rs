//! A row of the table of tools.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Pending, ToolError};
use crate::mcp::caller::Caller;

/// What calling a tool does to the world; its annotations follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Reads,
    /// Nothing, but it may take a while.
    Waits,
    /// The same again changes nothing more.
    Repeats,
    Changes,
}

/// Reads the arguments, runs the tool, writes the answer.
type Run =
    for<'a> fn(&'a mut dyn Caller, &'a RawValue) -> Pending<'a, Result<Box<RawValue>, ToolError>>;

/// One tool.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) description: String,
    pub(super) effect: Effect,
    pub(super) input: Value,
    pub(super) output: Value,
    pub(super) run: Run,
}

/// The table: name, title, effect, and the function with its types, from which the schemas come.
macro_rules! tools {
    ($($(#[doc = $doc:literal])* $name:literal $title:literal $effect:ident
        => $($run:ident)::+($params:ty) -> $answer:ty;)*) => {
        /// Every tool, in the order in which a model reads them.
        fn rows() -> &'static [Row] {
            static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| vec![$(Row {
                name: $name,
                title: $title,
                description: concat!($($doc,)*).trim().to_owned(),
                effect: Effect::$effect,
                input: schema::input::<$params>(),
                output: schema::output::<$answer>(),
                run: |caller, arguments| Box::pin(async move {
                    let params: $params = row::read(arguments, || schema::input::<$params>())?;
                    let answer: $answer = $($run)::+(caller, params).await?;
                    Ok(row::write(&answer))
                }),
            },)*]);
            &ROWS
        }
    };
}
pub(super) use tools;

impl Row {
    /// As `tools/list` shows it.
    pub(super) fn listed(&self) -> Value {
        listing(
            self.name,
            self.title,
            &self.description,
            self.effect,
            &self.input,
            Some(&self.output),
        )
    }
}

pub(super) fn listing(
    name: &str,
    title: &str,
    description: &str,
    effect: Effect,
    input: &Value,
    output: Option<&Value>,
) -> Value {
    let reads = matches!(effect, Effect::Reads | Effect::Waits);
    let mut tool = json!({
        "name": name,
        "title": title,
        "description": description,
        "inputSchema": input,
        "annotations": {
            "readOnlyHint": reads,
            "destructiveHint": false,
            "idempotentHint": reads || effect == Effect::Repeats,
            "openWorldHint": false,
        },
    });
    if let Some(output) = output {
        tool["outputSchema"] = output.clone();
    }
    tool
}

/// A list of tools as JSON.
pub(super) fn listed(tools: impl Iterator<Item = Value>) -> Arc<RawValue> {
    let tools: Vec<Value> = tools.collect();
    let json = serde_json::value::to_raw_value(&tools);
    json.expect("values always encode as JSON").into()
}

/// Reads the arguments. A wrong one is told with its place, and with what is right there.
pub(super) fn read<T: DeserializeOwned>(
    arguments: &RawValue,
    schema: impl FnOnce() -> Value,
) -> Result<T, ToolError> {
    if !arguments.get().starts_with('{') {
        return Err(ToolError::new(
            "arguments: they are given by name, as an object",
            "",
        ));
    }
    let mut reader = serde_json::Deserializer::from_str(arguments.get());
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let schema = schema();
        let field = path.split(['.', '[']).next().unwrap_or_default();
        let right = schema["properties"].get(field).unwrap_or(&schema);
        let at = if path == "." {
            String::new()
        } else {
            format!(".{path}")
        };
        let what = format!("arguments{at}: {}", error.inner());
        ToolError::new(what, format!("Right would be: {right}"))
    })
}

pub(super) fn write(answer: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(answer).expect("wire types always encode as JSON")
}
