//! `standin-model`: the stand-in model as a program, for trying executors by hand.
//!
//! Prints where it listens; `PUT /script`, `GET /requests` and `POST /gates/NAME/release` drive it.

#![expect(clippy::print_stdout, reason = "a program tells where it listens")]

use remotelab_tests::standin_model::StandinModel;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let model = StandinModel::start().await?;
    println!("listening on {}", model.base_url());
    model.run().await
}
