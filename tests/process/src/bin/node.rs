//! A member in Rust: `node DIRECTORY LISTEN SEEDS`, the seeds with commas between them, or `-` to found the ring.
//! Prints `ready ID`, answers each line of its input, and ends in order when the input ends.

use std::io::BufRead;

use ringkeep::{Env, Node, Settings};
use serde_json::json;

type Failure = Box<dyn std::error::Error>;

async fn answer(node: &Node, line: &str) -> Result<String, Failure> {
    if let Some(key) = line.strip_prefix("get ") {
        return Ok(match node.default_bucket().get(key.to_owned()).r(1).await {
            Ok(Some(value)) => String::from_utf8_lossy(&value).into_owned(),
            Ok(None) => "-".to_owned(),
            Err(error) => format!("error {error}"),
        });
    }
    let metrics: serde_json::Map<_, _> =
        node.metrics().into_iter().map(|(name, value)| (name, json!(value))).collect();
    let member = |member: ringkeep::store::MemberInfo| json!({ "id": member.id, "state": member.state, "hints_pending": member.hints_pending });
    let members: Vec<_> = node.status().await?.members.into_iter().map(member).collect();
    Ok(json!({ "status": { "members": members }, "metrics": metrics }).to_string())
}

#[expect(clippy::print_stdout, reason = "a program that is spoken with by lines")]
fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: node DIRECTORY LISTEN SEEDS");
    let (path, listen, seeds) = (next()?, next()?, next()?);
    let seeds: Vec<String> = seeds.split(',').filter(|seed| *seed != "-").map(str::to_owned).collect();
    let settings = Settings {
        path: Some(path.into()),
        listen: Some(listen),
        create: seeds.is_empty(),
        seeds,
        insecure: true,
        ..Settings::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let node = runtime.block_on(async {
        let node = Node::open(settings, Env::system(runtime.handle().clone())?).await?;
        node.ready(None).await?;
        Ok::<_, ringkeep::Error>(node)
    })?;
    println!("ready {}", node.id());
    for line in std::io::stdin().lock().lines() {
        println!("{}", runtime.block_on(answer(&node, &line?))?);
    }
    Ok(runtime.block_on(node.close(None))?)
}
