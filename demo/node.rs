//! A member of a ring in Rust: `node DIRECTORY LISTEN [SEED]`. Without a seed it founds the cluster.
//! Prints one line when it serves, and ends in order when its standard input closes.

use std::io::Read;

use ringkeep::{Env, Node, Settings};

#[expect(clippy::print_stdout, reason = "a program")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: node DIRECTORY LISTEN [SEED]";
    let path = arguments.next().ok_or(usage)?;
    let listen = arguments.next().ok_or(usage)?;
    let seed = arguments.next();
    let settings = Settings {
        path: Some(path.into()),
        listen: Some(listen),
        create: seed.is_none(),
        seeds: seed.into_iter().collect(),
        ..Settings::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime
        .block_on(async {
            let node = Node::open(settings, Env::system(runtime.handle().clone())?).await?;
            node.ready(None).await?;
            println!("ready {} {}", node.id(), node.address().unwrap_or_default());
            Ok::<_, ringkeep::Error>(node)
        })
        .and_then(|node| {
            // Whoever started this process holds its input open for as long as it should run.
            let mut rest = Vec::new();
            let _end = std::io::stdin().read_to_end(&mut rest);
            runtime.block_on(node.close(None))
        })?;
    Ok(())
}
