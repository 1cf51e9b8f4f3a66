//! The program inside of a kernel's boot image.
//!
//! A boot image begins with a header that tells where the packed program lies. It would unpack itself;
//! a guest whose processor is emulated does that much more slowly than we do.
//!
//! Source: the kernel's `Documentation/x86/boot.rst`.

use lz4_flex::frame::FrameDecoder;
use lzma_rust2::XzReader;
use std::io::Read;

/// Largest program, in bytes: Debian's has 40 MiB.
const PROGRAM_MAX_BYTES: u64 = 512 << 20;

const ELF_MAGIC: &[u8] = b"\x7fELF";
/// Of its old format, which kernels have.
const LZ4_MAGIC: &[u8] = b"\x02\x21\x4c\x18";
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// Places in the header, in bytes from the beginning of the image.
const SETUP_SECTS: usize = 0x1f1;
const HEADER_MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// First version of the header that tells where the program is.
const PROTOCOL_MIN: u16 = 0x208;

const SECTOR_BYTES: usize = 512;

/// Bytes of the program's size, which follow what is packed.
const SIZE_BYTES: usize = 4;

/// The program in `image`, which may be it already.
///
/// # Errors
/// A sentence about why there is none.
pub(super) fn inside(image: &[u8]) -> Result<Vec<u8>, String> {
    if image.starts_with(ELF_MAGIC) {
        return Ok(image.to_vec());
    }
    let payload = payload(image).ok_or("it has no header of a boot image for x86")?;
    let program = unpacked(payload)?;
    if !program.starts_with(ELF_MAGIC) {
        return Err("what it has packed is no program".to_owned());
    }
    Ok(program)
}

/// The packed program.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| image.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let protocol = u16::from_le_bytes(image.get(PROTOCOL..PROTOCOL + 2)?.try_into().ok()?);
    if image.get(HEADER_MAGIC..HEADER_MAGIC + 4)? != b"HdrS" || protocol < PROTOCOL_MIN {
        return None;
    }
    // None at all is an old way to say four.
    let n_sectors = match *image.get(SETUP_SECTS)? {
        0 => 4,
        n => usize::from(n),
    };
    let begin = (n_sectors + 1) * SECTOR_BYTES + usize::try_from(word(PAYLOAD_OFFSET)?).ok()?;
    let length = usize::try_from(word(PAYLOAD_LENGTH)?).ok()?;
    image.get(begin..begin.checked_add(length)?)
}

/// `packed` in any of the ways that kernels are packed in. Their size follows it, and is passed over.
fn unpacked(packed: &[u8]) -> Result<Vec<u8>, String> {
    if packed.starts_with(XZ_MAGIC) {
        all_of(XzReader::new(packed, false))
    } else if packed.starts_with(GZIP_MAGIC) {
        all_of(flate2::read::GzDecoder::new(packed))
    } else if packed.starts_with(ZSTD_MAGIC) {
        let decoder = zstd::Decoder::new(packed).map_err(|error| error.to_string())?;
        all_of(decoder.single_frame())
    } else if packed.starts_with(LZ4_MAGIC) {
        // The size behind it would be taken for one more block.
        all_of(FrameDecoder::new(&packed[..packed.len().saturating_sub(SIZE_BYTES)]))
    } else {
        Err("it is packed in a way that we do not know: gzip, lz4, xz and zstd".to_owned())
    }
}

/// The same for a module, which may also be plain.
pub(super) fn module(file: Vec<u8>) -> Result<Vec<u8>, String> {
    if file.starts_with(ELF_MAGIC) { Ok(file) } else { unpacked(&file) }
}

fn all_of(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let n = reader
        .take(PROGRAM_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("it cannot be unpacked: {error}"))?;
    if u64::try_from(n).is_ok_and(|n| n <= PROGRAM_MAX_BYTES) {
        Ok(bytes)
    } else {
        Err(format!("it unpacks to more than {PROGRAM_MAX_BYTES} bytes"))
    }
}
