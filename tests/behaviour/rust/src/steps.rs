//! Carries one step out and says what it gave. A fault of the case itself (`Err` of the outer result) is told apart from
//! an error of the library.

use std::time::Duration;

use bytes::Bytes;
use ringkeep::base::error::{Detail, Error, ErrorKind};
use ringkeep::store::{Bucket, Context, ReadOptions, ScanOptions, Ttl, Value as Sibling, WriteOptions};
use serde_json::Value;

use crate::case::{BucketRules, Step, bytes, bytes_list};
use crate::expect::{Gave, Outcome};
use crate::world::{World, bucket_spec, forged};

/// How long an event may take to come.
const EVENT_PATIENCE: Duration = Duration::from_secs(10);

/// Carries a step out, and saves its context if it asks for that.
pub(crate) async fn perform(world: &mut World, step: &Step) -> Result<Outcome, String> {
    let outcome = match step.op.as_str() {
        "open" | "connect" | "address" | "ready" | "close" | "write_file" | "create_bucket" | "buckets"
        | "status" => about_stores(world, step).await?,
        "forge" | "round_trip" => about_contexts(world, step)?,
        "kill" | "restart" | "settle" | "partition" | "heal" => about_the_cluster(world, step).await?,
        "watch" | "event" => about_events(world, step).await?,
        _ => match world.bucket(step) {
            Ok(bucket) => about_keys(world, &bucket, step).await?,
            Err(error) => Err(error),
        },
    };
    if let Some(name) =
        step.save.as_deref().filter(|_| !["address", "forge", "round_trip"].contains(&step.op.as_str()))
    {
        let context = match &outcome {
            Ok(Gave::Receipt(receipt)) => receipt.context().clone(),
            Ok(Gave::Entry(entry)) => entry.context().clone(),
            Err(error) => match error.detail() {
                Detail::Conflict { context, .. } => Context::from_bytes(context.clone()),
                _ => return Ok(outcome),
            },
            Ok(gave) => return Err(format!("{gave:?} has no context to save")),
        };
        world.save_context(name, context);
    }
    Ok(outcome)
}

async fn about_stores(world: &mut World, step: &Step) -> Result<Outcome, String> {
    Ok(match step.op.as_str() {
        "open" => {
            step.only(&["as", "path", "settings"])?;
            let settings =
                step.arguments.get("settings").and_then(Value::as_object).cloned().unwrap_or_default();
            let path = step.arguments.get("path").and_then(Value::as_str);
            world.open(step.text("as")?, path, &settings).await.map(|()| Gave::Nothing)
        }
        "connect" => {
            step.only(&["as", "uri"])?;
            world.connect(step.text("as")?, step.text("uri")?).await.map(|()| Gave::Nothing)
        }
        "address" => {
            let name = step.save.as_deref().ok_or("address saves under a name")?;
            let address = world.address(&step.store).ok_or("the store listens nowhere")?;
            world.set(name, address);
            Ok(Gave::Nothing)
        }
        "write_file" => {
            step.only(&["path", "value"])?;
            let path = std::path::PathBuf::from(world.expand(step.text("path")?));
            let written = std::fs::create_dir_all(path.parent().unwrap_or(&path))
                .and_then(|()| std::fs::write(&path, step.bytes("value").unwrap_or_default()));
            written.map_err(|e| e.to_string())?;
            Ok(Gave::Nothing)
        }
        "create_bucket" => {
            let rules: BucketRules = serde_json::from_value(Value::from(step.arguments.clone()))
                .map_err(|e| format!("create_bucket: {e}"))?;
            match (world.store(&step.store), bucket_spec(&rules.name, &rules)) {
                (Ok(opened), Ok(spec)) => opened.store().create_bucket(spec).await.map(|()| Gave::Nothing),
                (Err(error), _) | (_, Err(error)) => Err(error),
            }
        }
        op => match world.store(&step.store) {
            Err(error) => Err(error),
            Ok(opened) => match op {
                "ready" => opened.store().ready(None).await.map(|()| Gave::Nothing),
                "close" => opened.store().close(None).await.map(|()| Gave::Nothing),
                "buckets" => {
                    let buckets = opened.store().buckets();
                    buckets.map(|found| Gave::Names(found.into_iter().map(|bucket| bucket.name).collect()))
                }
                _ => opened.store().status().await.map(Gave::Status),
            },
        },
    })
}

fn about_contexts(world: &mut World, step: &Step) -> Result<Outcome, String> {
    step.only(&["context"])?;
    let name = step.save.as_deref().ok_or("a changed context is saved under a name")?;
    let context = world.context(step.text("context")?)?;
    let changed = if step.op == "forge" { forged(context) } else { Context::from_bytes(context.to_bytes()) };
    world.save_context(name, changed);
    Ok(Ok(Gave::Nothing))
}

async fn about_the_cluster(world: &mut World, step: &Step) -> Result<Outcome, String> {
    step.only(&["node", "groups"])?;
    let index = step.arguments.get("node").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
    let cluster = world.cluster.as_mut().ok_or("the case has no test cluster")?;
    let done = match (step.op.as_str(), index) {
        ("kill", Some(index)) => cluster.kill(index).await,
        ("restart", Some(index)) => cluster.restart(index).await,
        ("partition", None) => cluster.partition(&groups(step)?),
        ("heal", None) => {
            cluster.heal();
            Ok(())
        }
        ("settle", None) => cluster.settle(Duration::from_secs(10)).await,
        _ => return Err(format!("{} and its node do not fit", step.op)),
    };
    world.take_nodes();
    Ok(done.map(|()| Gave::Nothing))
}

fn groups(step: &Step) -> Result<Vec<Vec<usize>>, String> {
    serde_json::from_value(step.argument("groups")?.clone()).map_err(|e| format!("groups: {e}"))
}

/// Events are read from a stream of their own; those of other kinds are passed over.
async fn about_events(world: &mut World, step: &Step) -> Result<Outcome, String> {
    if step.op == "watch" {
        step.only(&["as"])?;
        let events = match world.store(&step.store) {
            Ok(opened) => opened.store().events().await,
            Err(error) => Err(error),
        };
        return Ok(match events {
            Ok(events) => {
                world.streams.insert(step.text("as")?.to_owned(), events);
                Ok(Gave::Nothing)
            }
            Err(error) => Err(error),
        });
    }
    step.only(&["stream", "kind"])?;
    let (name, kind) = (step.text("stream")?, step.text("kind")?);
    let events = world.streams.get_mut(name).ok_or_else(|| format!("no stream {name:?}"))?;
    let find = async {
        loop {
            match events.next().await {
                Ok(event) if event.kind == kind => return Ok(Gave::Event(event)),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    };
    tokio::time::timeout(EVENT_PATIENCE, find).await.map_err(|_| format!("no event {kind} came"))
}

async fn about_keys(world: &World, bucket: &Bucket, step: &Step) -> Result<Outcome, String> {
    let (read, write) = (read_options(step)?, write_options(world, step)?);
    Ok(match step.op.as_str() {
        "put" => {
            step.only(&["key", "value"])?;
            bucket.put(step.bytes("key")?, step.bytes("value")?).options(write).await.map(Gave::Receipt)
        }
        "get" => {
            step.only(&["key"])?;
            bucket.get(step.bytes("key")?).options(read).await.map(Gave::Value)
        }
        "read" => {
            step.only(&["key"])?;
            bucket.read(step.bytes("key")?).options(read).await.map(Gave::Entry)
        }
        "delete" => {
            step.only(&["key"])?;
            bucket.delete(step.bytes("key")?).options(write).await.map(Gave::Receipt)
        }
        "update" => {
            step.only(&["key", "merge", "add"])?;
            let add = step.arguments.get("add").map(bytes).transpose()?;
            let merge = step.text("merge")?.to_owned();
            let update = bucket.update(step.bytes("key")?, move |siblings| merged(&merge, siblings, add));
            update.options(write).await.map(Gave::Value)
        }
        "explain" => {
            step.only(&["key"])?;
            bucket.explain(step.bytes("key")?).await.map(Gave::Explanation)
        }
        "get_many" => {
            step.only(&["keys"])?;
            let keys = bytes_list(step.argument("keys")?)?;
            Ok(Gave::Each(bucket.get_many(keys).options(read).await))
        }
        "put_many" => {
            step.only(&["items"])?;
            put_many(bucket, pairs(step.list("items")?)?, write).await
        }
        "fill" => {
            step.only(&["count", "prefix"])?;
            let (prefix, count) = (step.text("prefix")?, step.argument("count")?.as_u64().unwrap_or(0));
            let key = |at| Bytes::from(format!("{prefix}{at:06}"));
            put_many(bucket, (0..count).map(|at| (key(at), key(at))).collect(), write).await
        }
        "scan" => {
            step.only(&["prefix", "start", "end", "limit"])?;
            scan(bucket, range(step, read)?).await
        }
        "count" => {
            step.only(&["prefix"])?;
            bucket.count(range(step, read)?).await.map(Gave::Count)
        }
        unknown => return Err(format!("unknown op {unknown:?}")),
    })
}

fn pairs(items: &[Value]) -> Result<Vec<(Bytes, Bytes)>, String> {
    let pair = |item: &Value| match (item.get(0), item.get(1)) {
        (Some(key), Some(value)) => Ok((bytes(key)?, bytes(value)?)),
        _ => Err("an item is a key and a value".to_owned()),
    };
    items.iter().map(pair).collect()
}

async fn put_many(bucket: &Bucket, items: Vec<(Bytes, Bytes)>, options: WriteOptions) -> Outcome {
    let each = bucket.put_many(items).options(options).await;
    Ok(Gave::Each(each.into_iter().map(|result| result.map(|_| None)).collect()))
}

async fn scan(bucket: &Bucket, options: ScanOptions) -> Outcome {
    let mut scan = bucket.scan(options);
    let mut items = Vec::new();
    while let Some(item) = scan.next().await? {
        let value = item.entry.value().map(|value| value.map(|v| v.bytes.clone()).unwrap_or_default());
        items.push((item.key, value));
    }
    Ok(Gave::Items(items))
}

fn merged(merge: &str, siblings: &[Sibling], add: Option<Bytes>) -> Result<Option<Bytes>, Error> {
    match merge {
        "concat_sorted" => {
            let mut parts: Vec<Bytes> =
                siblings.iter().map(|sibling| sibling.bytes.clone()).chain(add).collect();
            parts.sort();
            Ok(Some(Bytes::from(parts.join(&b","[..]))))
        }
        "count" => Ok(Some(Bytes::from(siblings.len().to_string()))),
        "delete" => Ok(None),
        _ => Err(Error::new(ErrorKind::Canceled, format!("the merge {merge:?} gives up"))),
    }
}

fn range(step: &Step, read: ReadOptions) -> Result<ScanOptions, String> {
    Ok(ScanOptions {
        prefix: step.bytes_or_empty("prefix")?,
        start: step.bytes_or_empty("start")?,
        end: step.bytes_or_empty("end")?,
        limit: step.arguments.get("limit").and_then(Value::as_u64),
        read,
    })
}

fn number(step: &Step, name: &str) -> Option<u32> {
    step.options.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
}

fn read_options(step: &Step) -> Result<ReadOptions, String> {
    let known = ["consistency", "r", "w", "timeout_ms", "ttl_ms", "sloppy", "context"];
    if let Some(unknown) = step.options.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("option {unknown} cannot be said here"));
    }
    let level = step.options.get("consistency").and_then(Value::as_str).map(str::parse).transpose();
    Ok(ReadOptions {
        consistency: level.map_err(|error: Error| error.to_string())?,
        r: number(step, "r"),
        timeout: number(step, "timeout_ms").map(|ms| Duration::from_millis(ms.into())),
        sloppy: step.options.get("sloppy").and_then(Value::as_bool),
        ..ReadOptions::default()
    })
}

fn write_options(world: &World, step: &Step) -> Result<WriteOptions, String> {
    let ReadOptions { consistency, timeout, sloppy, .. } = read_options(step)?;
    let ttl = number(step, "ttl_ms").map(|ms| match ms {
        0 => Ttl::Never,
        ms => Ttl::After(Duration::from_millis(ms.into())),
    });
    let context = match step.options.get("context") {
        None => None,
        Some(Value::String(name)) => Some(world.context(name)?.clone()),
        Some(token) => Some(Context::from_bytes(bytes(token.get("bytes").ok_or("a context has bytes")?)?)),
    };
    Ok(WriteOptions {
        consistency,
        w: number(step, "w"),
        timeout,
        sloppy,
        ttl,
        context,
        ..WriteOptions::default()
    })
}
