//! Policies from text to answer: tables, properties, worked policies, hostile texts.

mod crossing;
mod given;
mod hostile;
mod language;
mod oracle;
mod worked;
mod writes;
