// What JavaScript sees of ISA-L: four synchronous functions over byte views. Checks whatever could make native code touch
// memory that is not the caller's, and throws a TypeError or RangeError then; the words an admin or author reads are left
// to the TypeScript around it. Keeps nothing between calls, so any number of threads may load it and go away at any time.
#include <array>
#include <cstdint>

#include <node_api.h>

#include "checksum.h"
#include "erasure.h"

namespace {

struct Bytes {
  std::uint8_t* address = nullptr;
  std::size_t size_bytes = 0;
};

struct Cells {
  std::array<std::uint8_t*, isal::kMostCells> addresses;
  int count = 0;
  std::size_t least_bytes = 0;
};

napi_value Throw(napi_env env, const char* message) {
  napi_throw_type_error(env, nullptr, message);
  return nullptr;
}

napi_value ThrowRange(napi_env env, const char* message) {
  napi_throw_range_error(env, nullptr, message);
  return nullptr;
}

bool ReadBytes(napi_env env, napi_value value, Bytes* bytes) {
  napi_typedarray_type type;
  void* address = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &bytes->size_bytes, &address, nullptr, nullptr) != napi_ok) {
    return false;
  }
  bytes->address = static_cast<std::uint8_t*>(address);
  return type == napi_uint8_array && (bytes->address != nullptr || bytes->size_bytes == 0);
}

bool ReadCount(napi_env env, napi_value value, int* count) {
  std::int32_t number = 0;
  if (napi_get_value_int32(env, value, &number) != napi_ok || number < 1 || number > isal::kMostCells) return false;
  *count = number;
  return true;
}

// Elements are fetched first and looked into afterwards: a getter of an element could change what was seen before it.
bool ReadCells(napi_env env, napi_value array, Cells* cells) {
  std::uint32_t count = 0;
  if (napi_get_array_length(env, array, &count) != napi_ok || count < 1 || count > isal::kMostCells) return false;
  std::array<napi_value, isal::kMostCells> values;
  for (std::uint32_t index = 0; index < count; ++index) {
    if (napi_get_element(env, array, index, &values[index]) != napi_ok) return false;
  }
  cells->count = static_cast<int>(count);
  for (std::uint32_t index = 0; index < count; ++index) {
    Bytes bytes;
    if (!ReadBytes(env, values[index], &bytes)) return false;
    cells->addresses[index] = bytes.address;
    if (index == 0 || bytes.size_bytes < cells->least_bytes) cells->least_bytes = bytes.size_bytes;
  }
  return true;
}

// crc32c(bytes, seed?) -> number
napi_value Crc32c(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  std::size_t count = 2;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  Bytes bytes;
  if (count < 1 || !ReadBytes(env, arguments[0], &bytes)) return Throw(env, "bytes are not a Uint8Array");
  std::uint32_t seed = 0;
  if (count > 1) {
    napi_valuetype type = napi_undefined;
    napi_typeof(env, arguments[1], &type);
    if (type != napi_undefined && napi_get_value_uint32(env, arguments[1], &seed) != napi_ok) {
      return Throw(env, "seed is not a number");
    }
  }
  napi_value result = nullptr;
  napi_create_uint32(env, isal::Crc32c(bytes.address, bytes.size_bytes, seed), &result);
  return result;
}

// makeEncodeTables(dataCells, parityCells, tables)
napi_value MakeEncodeTables(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  std::size_t count = 3;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  int data_cells = 0;
  int parity_cells = 0;
  Bytes tables;
  if (count < 3 || !ReadCount(env, arguments[0], &data_cells) || !ReadCount(env, arguments[1], &parity_cells) ||
      !ReadBytes(env, arguments[2], &tables)) {
    return Throw(env, "arguments are not (dataCells, parityCells, tables)");
  }
  if (data_cells + parity_cells > isal::kMostCells || tables.size_bytes != isal::TableBytes(data_cells, parity_cells)) {
    return ThrowRange(env, "cells or the size of the tables are out of range");
  }
  isal::MakeEncodeTables(data_cells, parity_cells, tables.address);
  return nullptr;
}

bool AllBelow(const Bytes& indices, int limit) {
  for (std::size_t index = 0; index < indices.size_bytes; ++index) {
    if (indices.address[index] >= limit) return false;
  }
  return true;
}

// makeDecodeTables(dataCells, parityCells, survivors, lost, tables) -> boolean
napi_value MakeDecodeTables(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  std::size_t count = 5;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  int data_cells = 0;
  int parity_cells = 0;
  Bytes survivors;
  Bytes lost;
  Bytes tables;
  if (count < 5 || !ReadCount(env, arguments[0], &data_cells) || !ReadCount(env, arguments[1], &parity_cells) ||
      !ReadBytes(env, arguments[2], &survivors) || !ReadBytes(env, arguments[3], &lost) ||
      !ReadBytes(env, arguments[4], &tables)) {
    return Throw(env, "arguments are not (dataCells, parityCells, survivors, lost, tables)");
  }
  const int cells = data_cells + parity_cells;
  if (cells > isal::kMostCells || survivors.size_bytes != static_cast<std::size_t>(data_cells) ||
      lost.size_bytes < 1 || lost.size_bytes > static_cast<std::size_t>(parity_cells) || !AllBelow(survivors, cells) ||
      !AllBelow(lost, cells) || tables.size_bytes != isal::TableBytes(data_cells, static_cast<int>(lost.size_bytes))) {
    return ThrowRange(env, "cells, indices or the size of the tables are out of range");
  }
  const bool made = isal::MakeDecodeTables(data_cells, parity_cells, survivors.address, lost.address,
                                           static_cast<int>(lost.size_bytes), tables.address);
  napi_value result = nullptr;
  napi_get_boolean(env, made, &result);
  return result;
}

// applyTables(tables, inputs, outputs): every cell of the length of the shortest.
napi_value ApplyTables(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  std::size_t count = 3;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  Bytes tables;
  Cells inputs;
  Cells outputs;
  if (count < 3 || !ReadCells(env, arguments[1], &inputs) || !ReadCells(env, arguments[2], &outputs) ||
      !ReadBytes(env, arguments[0], &tables)) {
    return Throw(env, "arguments are not (tables, inputs, outputs)");
  }
  if (tables.size_bytes != isal::TableBytes(inputs.count, outputs.count)) {
    return ThrowRange(env, "the size of the tables does not fit the number of cells");
  }
  const std::size_t size_bytes = inputs.least_bytes < outputs.least_bytes ? inputs.least_bytes : outputs.least_bytes;
  isal::ApplyTables(tables.address, size_bytes, inputs.count, inputs.addresses.data(), outputs.count,
                    outputs.addresses.data());
  return nullptr;
}

bool Export(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

}  // namespace

NAPI_MODULE_INIT() {
  const bool complete = Export(env, exports, "crc32c", Crc32c) &&
                        Export(env, exports, "makeEncodeTables", MakeEncodeTables) &&
                        Export(env, exports, "makeDecodeTables", MakeDecodeTables) &&
                        Export(env, exports, "applyTables", ApplyTables);
  return complete ? exports : nullptr;
}
