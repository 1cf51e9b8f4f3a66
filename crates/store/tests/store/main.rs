//! The store as its callers meet it: a real database in a directory of its own, real power cuts
//! (a child process that dies at a failpoint), a real full disk.

mod app_secrets;
mod crash;
mod disk_full;
mod golden;
mod group_commit;
mod hostnames;
mod inbox;
mod machines;
mod open;
mod outbound;
mod plan_log;
mod records;
mod sample;
mod selfhood;
mod speed;
mod sync_failure;
mod victim;
