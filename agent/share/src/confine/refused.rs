//! Why a server that cannot be confined does not serve.

/// One line.
#[derive(Debug)]
pub struct Refused(pub String);
