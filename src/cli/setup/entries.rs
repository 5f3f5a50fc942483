//! What is ours in a file of JSON: servers, hooks and permissions.

use serde_json::Value;

use super::front::Front;
use super::program;
use super::text::{Fault, JsonText, Step};

/// One thing in a file of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Entry {
    /// The server of our tools, at the end of a path.
    Server { path: Vec<String>, value: Value },
    /// A group of hooks with one of ours.
    Hook { event: String, group: Value },
    /// A word in a list.
    Word {
        path: Vec<String>,
        word: &'static str,
    },
}

const HOOKS: &str = "hooks";

impl Entry {
    pub(super) fn server(path: &[&str], value: Value) -> Self {
        let path = owned(path);
        Self::Server { path, value }
    }

    pub(super) fn word(path: &[&str], word: &'static str) -> Self {
        let path = owned(path);
        Self::Word { path, word }
    }

    /// `matcher` says which tools the hook is for.
    pub(super) fn hook(event: &str, matcher: Option<&str>, handler: Value) -> Self {
        let mut group = serde_json::Map::new();
        group.extend(matcher.map(|it| ("matcher".to_owned(), Value::from(it))));
        group.insert(HOOKS.to_owned(), Value::Array(vec![handler]));
        Self::Hook {
            event: event.to_owned(),
            group: Value::Object(group),
        }
    }
}

/// What of ours is in a file. A server of our name that others wrote is a fault.
pub(super) fn found(
    json: &JsonText,
    wanted: &[Entry],
    front: Option<Front>,
) -> Result<Vec<Entry>, Fault> {
    let value = json.value();
    let mut found = Vec::new();
    for entry in wanted {
        match entry {
            Entry::Server { path, .. } => match at(&value, path) {
                None | Some(Value::Null) => {}
                Some(there) if is_our_server(there) => found.push(Entry::Server {
                    path: path.clone(),
                    value: there.clone(),
                }),
                Some(_) => {
                    let what = "it has a server called coord that coord setup did not write; remove or rename it";
                    return Err(Fault::Whole(what));
                }
            },
            Entry::Word { path, word } => {
                let list = at(&value, path).and_then(Value::as_array);
                if list.is_some_and(|list| list.contains(&Value::from(*word))) {
                    found.push(entry.clone());
                }
            }
            Entry::Hook { .. } => {}
        }
    }
    for (event, groups) in hooks(&value) {
        for group in groups {
            let ours = handlers(group).filter(|(_, it)| is_our_hook(it, front));
            let ours: Vec<Value> = ours.map(|(_, it)| it.clone()).collect();
            if !ours.is_empty() {
                let mut group = group.clone();
                group[HOOKS] = Value::Array(ours);
                let event = event.clone();
                found.push(Entry::Hook { event, group });
            }
        }
    }
    Ok(found)
}

pub(super) fn put_in(json: &mut JsonText, entries: &[Entry]) -> Result<(), Fault> {
    for entry in entries {
        match entry {
            Entry::Server { path, value } => json.set(&borrowed(path), value)?,
            Entry::Hook { event, group } => json.push(&[HOOKS, event], group)?,
            Entry::Word { path, word } => json.push(&borrowed(path), &Value::from(*word))?,
        }
    }
    Ok(())
}

/// Takes out everything of ours, and containers that are empty for it.
pub(super) fn take_out(
    json: &mut JsonText,
    entries: &[Entry],
    front: Option<Front>,
) -> Result<(), Fault> {
    let before = json.value();
    for entry in entries {
        match entry {
            Entry::Server { path, .. } if at(&before, path).is_some_and(is_our_server) => {
                remove_and_prune(json, path)?;
            }
            Entry::Word { path, word } => {
                let list = at(&before, path).and_then(Value::as_array);
                let index = list.and_then(|list| list.iter().position(|it| it == word));
                if let Some(index) = index {
                    let mut steps = keys(path);
                    steps.push(Step::Index(index));
                    json.remove(&steps)?;
                    prune(json, path)?;
                }
            }
            Entry::Server { .. } | Entry::Hook { .. } => {}
        }
    }
    for (event, groups) in hooks(&before) {
        let mut touched = false;
        // From the last one, so that the places of those before stay right.
        for (index, group) in groups.iter().enumerate().rev() {
            let all = handlers(group).count();
            let ours = handlers(group).filter(|(_, it)| is_our_hook(it, front));
            let ours: Vec<usize> = ours.map(|(index, _)| index).collect();
            touched |= !ours.is_empty();
            let of_group = [Step::Key(HOOKS), Step::Key(event), Step::Index(index)];
            if !ours.is_empty() && ours.len() == all {
                json.remove(&of_group)?;
                continue;
            }
            for handler in ours.into_iter().rev() {
                let of_handler = [Step::Key(HOOKS), Step::Index(handler)];
                json.remove(&[&of_group[..], &of_handler[..]].concat())?;
            }
        }
        if touched {
            prune(json, &owned(&[HOOKS, event]))?;
        }
    }
    Ok(())
}

fn remove_and_prune(json: &mut JsonText, path: &[String]) -> Result<(), Fault> {
    json.remove(&keys(path))?;
    match path.split_last() {
        Some((_, above)) => prune(json, above),
        None => Ok(()),
    }
}

/// Removes a container that is empty, and those above that are empty then.
fn prune(json: &mut JsonText, path: &[String]) -> Result<(), Fault> {
    let value = json.value();
    let is_empty = match at(&value, path) {
        Some(Value::Object(object)) => object.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        _ => false,
    };
    if is_empty && !path.is_empty() {
        return remove_and_prune(json, path);
    }
    Ok(())
}

/// The events of a file with their groups.
fn hooks(value: &Value) -> impl Iterator<Item = (&String, &Vec<Value>)> {
    let events = value.get(HOOKS).and_then(Value::as_object);
    let events = events.into_iter().flatten();
    events.filter_map(|(event, groups)| Some((event, groups.as_array()?)))
}

fn handlers(group: &Value) -> impl Iterator<Item = (usize, &Value)> {
    let handlers = group.get(HOOKS).and_then(Value::as_array);
    handlers.into_iter().flatten().enumerate()
}

fn is_our_hook(handler: &Value, front: Option<Front>) -> bool {
    let command = handler.get("command").and_then(Value::as_str);
    command
        .zip(front)
        .is_some_and(|(command, front)| program::is_hook(command, front))
}

/// It runs a program called `coord` with `mcp` as its last word.
fn is_our_server(value: &Value) -> bool {
    let command = &value["command"];
    let words = command.as_array().or_else(|| value["args"].as_array());
    let program = command.as_str().or_else(|| command[0].as_str());
    let name = program.and_then(|it| it.rsplit('/').next());
    let last = words.and_then(|words| words.last()?.as_str());
    name.is_some_and(|name| name.starts_with("coord")) && last == Some("mcp")
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

fn keys(path: &[String]) -> Vec<Step<'_>> {
    path.iter().map(|key| Step::Key(key)).collect()
}

fn borrowed(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|key| (*key).to_owned()).collect()
}
