// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/registry/archives.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <zlib.h>

#include <cstring>
#include <stdexcept>

namespace hearth::registry::archives {
namespace {

constexpr size_t kBlock = 512;

void put(std::string& header, size_t at, const std::string& text) {
  header.replace(at, text.size(), text);
}

std::string tar_header(const File& file, uint64_t size) {
  std::string header(kBlock, '\0');
  put(header, 0, file.name.substr(0, 100));
  put(header, 100, fmt::format("{:07o}", file.mode));
  put(header, 108, "0000000");
  put(header, 116, "0000000");
  put(header, 124, fmt::format("{:011o}", size));
  put(header, 136, "00000000000");
  put(header, 148, "        ");
  header[156] = file.type;
  put(header, 157, file.link.substr(0, 100));
  put(header, 257, std::string("ustar\00000", 8));
  put(header, 329, "0000001");
  put(header, 337, "0000001");
  unsigned sum = 0;
  for (unsigned char c : header) sum += c;
  put(header, 148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  return header;
}

std::string padded(const std::string& bytes) {
  return bytes + std::string((kBlock - bytes.size() % kBlock) % kBlock, '\0');
}

std::string little(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

std::string deflated(const std::string& bytes, int window_bits) {
  z_stream stream = {};
  if (deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("deflate");
  return out;
}

la_ssize_t append(archive*, void* to, const void* bytes, size_t size) {
  static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), size);
  return static_cast<la_ssize_t>(size);
}

}  // namespace

std::string tar(const std::vector<File>& files, bool end_mark) {
  std::string out;
  for (const File& file : files) {
    File entry = file;
    if (file.name.size() > 100) {
      File name{"././@LongLink", file.name + std::string(1, '\0')};
      name.type = 'L';
      out += tar_header(name, name.content.size()) + padded(name.content);
      entry.name = file.name.substr(0, 100);
    }
    uint64_t size =
        file.size_claimed >= 0 ? static_cast<uint64_t>(file.size_claimed) : file.content.size();
    out += tar_header(entry, size) + padded(file.content);
  }
  if (end_mark) out += std::string(2 * kBlock, '\0');
  return out;
}

std::string gzip(const std::string& bytes) {
  return deflated(bytes, 15 + 16);
}

std::string zip(const std::vector<File>& files) {
  std::string out, table;
  for (const File& file : files) {
    const std::string& content = file.type == '2' ? file.link : file.content;
    std::string packed = deflated(content, -15);
    auto crc = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(content.data()),
                                           static_cast<uInt>(content.size())));
    uint64_t size =
        file.size_claimed >= 0 ? static_cast<uint64_t>(file.size_claimed) : content.size();
    std::string common = little(20, 2) + little(file.zip_flags, 2) + little(8, 2) + little(0, 4) +
                         little(crc ^ file.crc_flip, 4) + little(packed.size(), 4) +
                         little(size, 4) + little(file.name.size(), 2) + little(0, 2);
    uint32_t kind = file.type == '2' ? 0120000u : file.type == '5' ? 040000u : 0100000u;
    if (file.type == '3') kind = 020000u;
    table += "PK\x01\x02" + little(0x0314, 2) + common + little(0, 2) + little(0, 2) +
             little(0, 2) + little((kind | file.mode) << 16, 4) + little(out.size(), 4) + file.name;
    out += "PK\x03\x04" + common + file.name + packed;
  }
  return out + table + "PK\x05\x06" + little(0, 4) + little(files.size(), 2) +
         little(files.size(), 2) + little(table.size(), 4) + little(out.size(), 4) + little(0, 2);
}

std::string by_library(const std::vector<File>& files, const std::string& format) {
  std::string out;
  archive* writer = archive_write_new();
  if (format == "zip")
    archive_write_set_format_zip(writer);
  else if (format == "gnutar")
    archive_write_set_format_gnutar(writer);
  else
    archive_write_set_format_pax(writer);
  if (format != "zip") archive_write_add_filter_gzip(writer);
  archive_write_open(writer, &out, nullptr, append, nullptr);
  for (const File& file : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, file.name.c_str());
    unsigned type = file.type == '5' ? AE_IFDIR : file.type == '2' ? AE_IFLNK : AE_IFREG;
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, file.mode);
    if (type == AE_IFLNK) archive_entry_set_symlink(entry, file.link.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(file.content.size()));
    archive_write_header(writer, entry);
    archive_write_data(writer, file.content.data(), file.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  return out;
}

}  // namespace hearth::registry::archives
