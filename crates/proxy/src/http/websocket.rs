//! Frames of WebSockets, as far as a proxy has to know them (RFC 6455 section 5.2).

/// Close, 1001: going away. Unmasked, as from a server.
pub(crate) const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// Where in a stream of frames we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frames {
    /// Bytes of the head so far.
    head: [u8; HEAD_MAX_BYTES],
    n_head: usize,
    /// Bytes of the payload to come.
    left: u64,
}

/// Two bytes, a length of eight, a mask of four.
const HEAD_MAX_BYTES: usize = 14;

impl Frames {
    /// Before the first.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether a frame of ours could go in here.
    pub(crate) const fn is_between(&self) -> bool {
        self.n_head == 0 && self.left == 0
    }

    /// These bytes were passed.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.step(bytes)..];
        }
    }

    /// How many of `bytes` belong to the frame that is under way.
    pub(crate) fn to_end(&self, bytes: &[u8]) -> usize {
        let (mut ahead, mut at) = (self.clone(), 0);
        while at < bytes.len() && !ahead.is_between() {
            at += ahead.step(&bytes[at..]);
        }
        at
    }

    /// A byte of a head, or as much of a payload as there is. `bytes` is not empty.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
            let n_taken = bytes.len().min(wanted);
            self.left -= n_taken as u64;
            return n_taken;
        }
        self.head[self.n_head] = bytes[0];
        self.n_head += 1;
        if let Some(payload) = self.payload() {
            (self.n_head, self.left) = (0, payload);
        }
        1
    }

    /// Length of the payload once the head is whole.
    fn payload(&self) -> Option<u64> {
        if self.n_head < 2 {
            return None;
        }
        let n_length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let n_mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        if self.n_head < 2 + n_length + n_mask {
            return None;
        }
        let length = &self.head[2..2 + n_length];
        let long = length.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        Some(if n_length == 0 { u64::from(self.head[1] & 0x7f) } else { long })
    }
}

#[cfg(test)]
mod tests {
    use super::Frames;

    #[track_caller]
    fn check(stream: &[u8], ends: &[usize]) {
        let mut frames = Frames::new();
        let mut seen = Vec::new();
        for (at, byte) in stream.iter().enumerate() {
            frames.follow(&[*byte]);
            if frames.is_between() {
                seen.push(at + 1);
            }
        }
        assert_eq!(seen, ends);
    }

    #[test]
    fn ends_of_frames_are_found() {
        check(&[0x81, 2, b'h', b'i', 0x89, 0], &[4, 6]);
        check(&[0x82, 0x81, 1, 2, 3, 4, 9], &[7]);
        let mut long = vec![0x82, 126, 1, 0];
        long.extend([7; 256]);
        check(&long, &[260]);
        let mut longer = vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0, 3];
        longer.extend([7; 3]);
        check(&longer, &[13]);
    }

    #[test]
    fn a_goodbye_waits_for_the_end_of_the_frame() {
        let mut frames = Frames::new();
        frames.follow(&[0x81, 5, b'h']);
        assert_eq!(frames.to_end(&[b'e', b'l', b'l', b'o', 0x81, 1, b'x']), 4);
        assert_eq!(frames.to_end(b"el"), 2);
    }
}
