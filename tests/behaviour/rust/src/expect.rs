//! What a step gave, and whether it is what the case expects. Every field of an expectation must hold.

use bytes::Bytes;
use ringkeep::base::error::{Detail, Error, ErrorKind};
use ringkeep::store::{ClusterEvent, Entry, Explanation, Receipt, Status};
use serde_json::{Map, Value};

use crate::case::{bytes, bytes_list};

/// What a step that succeeded gave.
#[derive(Debug)]
pub(crate) enum Gave {
    Nothing,
    Value(Option<Bytes>),
    Entry(Entry),
    Receipt(Receipt),
    /// Per key a value, or none for absent or stored.
    Each(Vec<Result<Option<Bytes>, Error>>),
    Items(Vec<(Bytes, Result<Bytes, Error>)>),
    Count(u64),
    Names(Vec<String>),
    Status(Status),
    Explanation(Explanation),
    Event(ClusterEvent),
}

/// What a step gave, or the error of the library.
pub(crate) type Outcome = Result<Gave, Error>;

/// How far an expiry may lie from the one expected: clocks tick while a case runs.
const EXPIRY_MS_OFF_MAX: u64 = 60_000;

type Checked = Result<(), String>;

fn hold(holds: bool, what: &str, expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug) -> Checked {
    if holds { Ok(()) } else { Err(shorten(&format!("{what}: expected {expected:?}, found {found:?}"))) }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 600 {
        text.to_owned()
    } else {
        text.chars().take(600).chain("…".chars()).collect()
    }
}

/// Checks an outcome. `now` is Unix milliseconds; `expand` replaces variables in texts.
pub(crate) fn check(
    expect: Option<&Map<String, Value>>,
    outcome: &Outcome,
    now: u64,
    expand: &dyn Fn(&str) -> String,
) -> Checked {
    let empty = Map::new();
    let expect = expect.unwrap_or(&empty);
    let gave = match outcome {
        Ok(gave) => gave,
        Err(error) if expect.contains_key("aborted") => {
            return hold(error.kind() == ErrorKind::Canceled, "aborted", &"the error of the merge", error);
        }
        Err(error) => {
            let Some(expected) = expect.get("error").and_then(Value::as_object) else {
                return Err(shorten(&format!("failed: {error:?}")));
            };
            return check_error(expected, error, expand);
        }
    };
    if let (Gave::Each(each), false) = (gave, expect.contains_key("each"))
        && let Some(Err(error)) = each.iter().find(|result| result.is_err())
    {
        return Err(shorten(&format!("an item failed: {error:?}")));
    }
    for (name, expected) in expect {
        check_field(name, expected, gave, now).map_err(|fault| format!("{name}: {fault}"))?;
    }
    Ok(())
}

fn check_field(name: &str, expected: &Value, gave: &Gave, now: u64) -> Checked {
    match (name, gave) {
        ("value", Gave::Value(found)) => {
            hold(found.as_ref() == Some(&bytes(expected)?), name, expected, found)
        }
        ("absent", Gave::Value(found)) => hold(found.is_none(), name, expected, found),
        ("count", Gave::Count(found)) => hold(expected.as_u64() == Some(*found), name, expected, found),
        ("owners", Gave::Receipt(receipt)) => {
            hold(expected.as_u64() == Some(receipt.owners().into()), name, expected, &receipt.owners())
        }
        ("owners_min", Gave::Receipt(receipt)) => {
            hold(expected.as_u64() <= Some(receipt.owners().into()), name, expected, &receipt.owners())
        }
        ("fallbacks", Gave::Receipt(receipt)) => {
            hold(expected.as_u64() == Some(receipt.fallbacks().into()), name, expected, &receipt.fallbacks())
        }
        ("names", Gave::Names(found)) => {
            let mut wanted: Vec<_> =
                expected.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut found: Vec<_> = found.iter().map(String::as_str).collect();
            wanted.sort_unstable();
            found.sort_unstable();
            hold(wanted == found, name, &wanted, &found)
        }
        ("health", Gave::Status(status)) => {
            hold(expected.as_str() == Some(&status.health), name, expected, &status.health)
        }
        ("members", Gave::Status(status)) => hold(
            expected.as_u64() == u64::try_from(status.members.len()).ok(),
            name,
            expected,
            &status.members,
        ),
        ("available", Gave::Status(status)) => {
            hold(expected.as_bool() == Some(status.available), name, expected, status)
        }
        ("detail_contains", Gave::Event(event)) => {
            hold(all_in(expected, &[event.detail.as_str()]), name, expected, event)
        }
        (_, Gave::Explanation(found)) => check_explanation(name, expected, found),
        ("each", Gave::Each(found)) => check_each(expected, found),
        ("items", Gave::Items(found)) => check_items(expected, found),
        ("items_count", Gave::Items(found)) => {
            hold(expected.as_u64() == u64::try_from(found.len()).ok(), name, expected, &found.len())
        }
        ("first", Gave::Items(found)) => {
            let first = found.first().map(|item| item.0.clone());
            hold(first == Some(bytes(expected)?), name, expected, &first)
        }
        ("last", Gave::Items(found)) => {
            let last = found.last().map(|item| item.0.clone());
            hold(last == Some(bytes(expected)?), name, expected, &last)
        }
        (_, Gave::Entry(entry)) => check_entry(name, expected, entry, now),
        ("error", _) => Err(shorten(&format!("expected {expected}, but it gave {gave:?}"))),
        ("aborted", _) => Err("the call succeeded".to_owned()),
        _ => Err(shorten(&format!("{gave:?} has no such field"))),
    }
}

fn check_entry(name: &str, expected: &Value, entry: &Entry, now: u64) -> Checked {
    match name {
        "value" | "absent" => {
            let value = entry.value().map_err(|error| format!("{error:?}"))?.map(|value| value.bytes.clone());
            check_field(name, expected, &Gave::Value(value), now)
        }
        "siblings" => {
            let found = entry.siblings().iter().map(|value| value.bytes.clone()).collect();
            same_set(expected, found)
        }
        "conflicted" => {
            hold(expected.as_bool() == Some(entry.conflicted()), name, expected, &entry.conflicted())
        }
        "expires" => {
            let after = expected.get("after_ms").and_then(Value::as_u64);
            let near = |expires: &Option<u64>| match (after, expires) {
                (None, None) => true,
                (Some(after), Some(expires)) => expires.abs_diff(now + after) <= EXPIRY_MS_OFF_MAX,
                _ => false,
            };
            let found: Vec<_> = entry.siblings().iter().map(|value| value.expires).collect();
            hold(found.iter().all(near), name, expected, &found)
        }
        _ => Err("an entry has no such field".to_owned()),
    }
}

/// Whether each expected text is in one of those found.
fn all_in(expected: &Value, found: &[&str]) -> bool {
    let mut wanted = expected.as_array().into_iter().flatten().filter_map(Value::as_str);
    wanted.all(|part| found.iter().any(|text| text.contains(part)))
}

fn check_explanation(name: &str, expected: &Value, found: &Explanation) -> Checked {
    let replicas = &found.replicas;
    let records = || replicas.iter().filter_map(|replica| replica.record.as_ref());
    let holds = match name {
        "partition" => expected.as_u64() == Some(found.partition.into()),
        "reads" => {
            let answers: Vec<_> = found.reads.iter().map(|read| Value::from(read.answer.as_str())).collect();
            expected.as_array() == Some(&answers)
        }
        "replicas" => expected.as_object().into_iter().flatten().all(|(what, wanted)| {
            let count = match what.as_str() {
                "reachable" => replicas.iter().filter(|replica| replica.reachable).count(),
                "counting" => replicas.iter().filter(|replica| replica.counts).count(),
                "holding" => records().count(),
                role => replicas.iter().filter(|replica| replica.role == role).count(),
            };
            wanted.as_u64() == u64::try_from(count).ok()
        }),
        "held" => {
            let number = |field: &str| expected.get(field).and_then(Value::as_u64);
            records().all(|record| {
                number("values") == Some(record.values.into())
                    && number("tombstones") == Some(record.tombstones.into())
                    && records().all(|other| other.hash == record.hash)
            })
        }
        "reason_contains" => {
            let reasons: Vec<_> = found.reads.iter().filter_map(|read| read.reason.as_deref()).collect();
            all_in(expected, &reasons)
        }
        _ => return Err("an explanation has no such field".to_owned()),
    };
    hold(holds, name, expected, found)
}

fn same_set(expected: &Value, mut found: Vec<Bytes>) -> Checked {
    let mut wanted = bytes_list(expected)?;
    wanted.sort();
    found.sort();
    hold(wanted == found, "siblings", &wanted, &found)
}

fn check_each(expected: &Value, found: &[Result<Option<Bytes>, Error>]) -> Checked {
    let expected = expected.as_array().ok_or("each is no list")?;
    hold(expected.len() == found.len(), "results", &expected.len(), &found.len())?;
    for (at, (wanted, result)) in expected.iter().zip(found).enumerate() {
        let holds = match result {
            Ok(Some(value)) => wanted.get("value").map(bytes).transpose()?.as_ref() == Some(value),
            Ok(None) => wanted == "absent" || wanted == "stored",
            Err(error) => wanted.get("error").and_then(Value::as_str) == Some(error.kind().code()),
        };
        hold(holds, &format!("result {at}"), wanted, result)?;
    }
    Ok(())
}

fn check_items(expected: &Value, found: &[(Bytes, Result<Bytes, Error>)]) -> Checked {
    let expected = expected.as_array().ok_or("items is no list")?;
    hold(expected.len() == found.len(), "items", expected, &found)?;
    for (wanted, (key, value)) in expected.iter().zip(found) {
        let part = |at: usize| wanted.get(at).ok_or("an item is a key and a value");
        let holds = match value {
            Ok(value) => bytes(part(1)?).is_ok_and(|wanted| wanted == *value),
            Err(error) => part(1)?.get("error").and_then(Value::as_str) == Some(error.kind().code()),
        };
        hold(holds && bytes(part(0)?)? == *key, "item", wanted, &(key, value))?;
    }
    Ok(())
}

fn check_error(expected: &Map<String, Value>, error: &Error, expand: &dyn Fn(&str) -> String) -> Checked {
    for (name, wanted) in expected {
        let holds = match name.as_str() {
            "code" => {
                let code = error.kind().code();
                wanted == code || wanted.as_array().is_some_and(|codes| codes.iter().any(|one| one == code))
            }
            "retryable" => wanted.as_bool() == Some(error.retryable()),
            "maybe_applied" => wanted.as_bool() == Some(error.maybe_applied()),
            "message_contains" => {
                let message = error.to_string().to_lowercase();
                let mut parts = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
                parts.all(|part| message.contains(&expand(part).to_lowercase()))
            }
            "fields" => {
                for (field, wanted) in wanted.as_object().into_iter().flatten() {
                    check_detail(field, wanted, error.detail())
                        .map_err(|fault| shorten(&format!("{field}: {fault}; {error:?}")))?;
                }
                true
            }
            _ => return Err(format!("an error has no field {name}")),
        };
        hold(holds, name, wanted, &(error, error.detail()))?;
    }
    Ok(())
}

fn check_detail(field: &str, wanted: &Value, detail: &Detail) -> Checked {
    let number = |found: u32| hold(wanted.as_u64() == Some(found.into()), field, wanted, &found);
    match (field, detail) {
        ("needed", Detail::Quorum { needed, .. }) => number(*needed),
        ("received", Detail::Quorum { received, .. }) => number(*received),
        ("replicas", Detail::Quorum { replicas, .. }) => match wanted.as_array() {
            Some(ids) => {
                let ids: Vec<_> = ids.iter().filter_map(Value::as_str).collect();
                hold(replicas.keys().map(String::as_str).eq(ids.iter().copied()), field, wanted, replicas)
            }
            None => number(u32::try_from(replicas.len()).unwrap_or(u32::MAX)),
        },
        ("limit", Detail::TooManySiblings { limit }) => number(*limit),
        ("pid", Detail::Locked { pid }) => {
            hold(wanted == "own" && *pid == std::process::id(), field, wanted, pid)
        }
        ("key", Detail::Conflict { key, .. }) => hold(bytes(wanted)? == *key, field, wanted, key),
        ("siblings", Detail::Conflict { siblings, .. }) => same_set(wanted, siblings.clone()),
        _ => Err(format!("expected {wanted}, found {detail:?}")),
    }
}
