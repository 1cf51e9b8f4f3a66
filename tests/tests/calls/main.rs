//! What each call gets in each state: the table in docs/states.md, cell by cell, against the daemon.
//!
//! * `table`: the table, as the document has it.
//! * `states`: machines in each of its states.
//! * `asked`: its calls, and the words of their refusals.
//! * `rows`: a test for each row and engine.
//! * `leases`: somebody else's lease stops them all.

mod asked;
mod leases;
mod rows;
mod states;
mod table;
