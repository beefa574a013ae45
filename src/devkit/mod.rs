//! Stub of the developer kit.
/// Builds.
pub fn build(_dir: &std::path::Path, _out: Option<&std::path::Path>, _say: &mut dyn FnMut(&str)) -> Result<std::path::PathBuf, crate::error::Error> {
    unimplemented!()
}
/// Assembles.
pub fn assemble(_text: &str, _world: &str) -> Result<Vec<u8>, crate::error::Error> {
    unimplemented!()
}
