//! Flows through the whole daemon, against real servers. One file a subject.

mod digest;
mod discovery;
mod far_end;
mod hostile;
mod tls;
