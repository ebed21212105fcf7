//! Runs the server as a process of its own, over a data file: for tests in which several programs share one log.
#![allow(clippy::print_stdout, reason = "it says where it listens")]

use std::path::PathBuf;
use std::sync::Arc;

use eventstore_sim::{Node, NodeOptions, Store};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, port] = arguments.as_slice() else {
        return Err("usage: eventstore-sim DATA_FILE PORT".into());
    };
    let store = Store::open(&PathBuf::from(file))?;
    let options = NodeOptions {
        port: port.parse()?,
        ..NodeOptions::default()
    };
    let node = Node::start(Arc::new(store), options).await?;
    println!("{}", node.url());
    std::future::pending::<()>().await;
    Ok(())
}
