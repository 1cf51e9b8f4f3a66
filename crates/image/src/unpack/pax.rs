//! PAX extended headers: `<length> <key>=<value>\n`, where the value may hold any byte.
//!
//! Source: pax(1) of POSIX.1-2001, "pax Extended Header".

use super::failure::UnpackFailure;

/// What the extended headers before an entry say of it.
#[derive(Debug, Default)]
pub(super) struct PaxValues {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    /// Whole seconds and nanoseconds.
    pub(super) mtime: Option<(i64, u32)>,
    /// Names without the prefix, and values.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl PaxValues {
    /// Adds the records of one extended header.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), UnpackFailure> {
        while !records.is_empty() {
            let (record, rest) = split_record(records).ok_or_else(malformed)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(malformed)?;
            self.take(&record[..equals], &record[equals + 1..])?;
            records = rest;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), UnpackFailure> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(parse(value)?),
            b"uid" => self.uid = Some(parse(value)?),
            b"gid" => self.gid = Some(parse(value)?),
            b"mtime" => self.mtime = Some(parse_time(value)?),
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err(UnpackFailure::Unsupported { what: "a sparse entry".to_owned() });
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// The first record without its length and newline, and what follows it.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = records.iter().position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let record = records.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, &records[length..]))
}

fn parse<T: std::str::FromStr>(value: &[u8]) -> Result<T, UnpackFailure> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(malformed)
}

/// `[-]seconds[.fraction]`, rounded down to whole nanoseconds.
fn parse_time(value: &[u8]) -> Result<(i64, u32), UnpackFailure> {
    let text = std::str::from_utf8(value).ok().ok_or_else(malformed)?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nine_digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = parse(nine_digits.as_bytes())?;
    let whole: i64 = parse(seconds.as_bytes())?;
    match (seconds.starts_with('-'), nanos) {
        (false, _) | (true, 0) => Ok((whole, nanos)),
        (true, _) => Ok((whole.saturating_sub(1), 1_000_000_000 - nanos)),
    }
}

fn malformed() -> UnpackFailure {
    UnpackFailure::malformed("a PAX header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_newlines_and_equals_signs() {
        let mut values = PaxValues::default();
        values.read(b"13 path=a\nb=c\n28 SCHILY.xattr.user.x=\0\n\xff\n").unwrap_err();
        let mut values = PaxValues::default();
        values.read(b"14 path=a\nb=c\n27 SCHILY.xattr.user.x=\0\n\xff\n").unwrap();
        assert_eq!(values.path.as_deref(), Some(b"a\nb=c".as_slice()));
        assert_eq!(values.xattrs, [(b"user.x".to_vec(), b"\0\n\xff".to_vec())]);
    }

    #[test]
    fn times_have_fractions_and_signs() {
        let check = |text: &str, expected| assert_eq!(parse_time(text.as_bytes()).ok(), expected);
        check("12", Some((12, 0)));
        check("12.5", Some((12, 500_000_000)));
        check("12.1234567891", Some((12, 123_456_789)));
        check("-1.25", Some((-2, 750_000_000)));
        check("-0.5", Some((-1, 500_000_000)));
        check("x", None);
        check("1.-5", None);
    }

    #[test]
    fn broken_records_are_refused() {
        let broken: [&[u8]; 6] = [b"x", b"5 a=b", b"999 a=b\n", b"3 =\n", b"6 ab\n\n", b"0 a=b\n"];
        for records in broken {
            assert!(PaxValues::default().read(records).is_err(), "{records:?}");
        }
    }
}
