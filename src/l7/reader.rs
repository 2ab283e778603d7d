//! Taking big-endian numbers and length-prefixed blocks off bytes a stranger sent. Nothing here panics;
//! what is not there is `None`.

/// Bytes not yet read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// Whether all is read.
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `len` bytes, or as many of them as there are; the flag says whether that is all of them.
    pub(crate) fn take_some(&mut self, len: usize) -> (&'a [u8], bool) {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        (taken, taken.len() == len)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn u24(&mut self) -> Option<u32> {
        self.take(3)
            .map(|bytes| u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]))
    }

    /// A block after its one-byte length.
    pub(crate) fn block8(&mut self) -> Option<Reader<'a>> {
        let len = self.u8()?;
        self.take(usize::from(len)).map(Reader)
    }

    /// A block after its two-byte length.
    pub(crate) fn block16(&mut self) -> Option<Reader<'a>> {
        let len = self.u16()?;
        self.take(usize::from(len)).map(Reader)
    }

    /// All two-byte numbers left; an odd last byte is left out.
    pub(crate) fn numbers(self) -> impl Iterator<Item = u16> + Clone + 'a {
        self.0
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }
}
