//! The real init as the first process of a real kernel, in a virtual machine without hardware help,
//! spoken to as a host does.

mod end;
mod furnish;
mod harness;
mod program;
mod quiet;
