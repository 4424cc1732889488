// Keys to bytes that are the same exactly if the keys are equal in Python's sense: 1, 1.0 and True are one key.
//
// The canonical bytes of None, bool, int, float, str, bytes and tuples of them are made here, in the encoding of
// object_codec.hpp without references. Of any other type conveyor.shared._keys says what is to be compared. A key that
// its canonical bytes do not give back exactly (True is told as 1) goes beside them in full.
#pragma once

#include "../payload/value_codec.hpp"
#include "conveyor/store/dict_store.hpp"

namespace conveyor::python {

struct EncodedKey {
  Buffer canonical;
  Encoded original;
  DictStore::Key key;
};

// False: with a Python error set, a TypeError for what cannot be a key. `to_store`: with what it is decoded from.
bool encode_key(const DictStore& store, const ValueCodec& codec, nb::handle key, bool to_store, EncodedKey& into);
nb::object decode_key(Copy& copy, const DictStore::Item& item);
// For conveyor.shared._keys: the canonical bytes.
nb::object canonical_bytes(nb::handle key);

}  // namespace conveyor::python
