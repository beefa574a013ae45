//! Demo.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {}
impl Demo {
    pub(super) async fn run(self) -> Result<(), super::exit::Failure> {
        Ok(())
    }
}
