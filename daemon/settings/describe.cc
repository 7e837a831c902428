// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "daemon/settings/reader.h"

namespace hearth::settings {
namespace {

void add(std::vector<KeyInfo>& out, const std::string& name, const Number& rule) {
  uint64_t initial = std::visit([](auto* to) { return uint64_t{*to}; }, rule.to);
  out.push_back({name, fmt::format("{} to {}", rule.min, rule.max), std::to_string(initial)});
}

void add(std::vector<KeyInfo>& out, const std::string& name, const Flag& rule) {
  out.push_back({name, "true or false", *rule.to ? "true" : "false"});
}

void add(std::vector<KeyInfo>& out, const std::string& name, const Text& rule) {
  out.push_back({name, {}, *rule.to});
}

void add(std::vector<KeyInfo>& out, const std::string& name, const Choice& rule) {
  std::vector<std::string> words;
  for (const auto& [word, chosen] : rule.words) words.push_back(word);
  out.push_back({name, list_of(words), rule.initial});
}

void add(std::vector<KeyInfo>& out, const std::string& name, const TextList& rule) {
  out.push_back({name, list_of(rule.words), {}});
}

void add(std::vector<KeyInfo>& out, const std::string& name, const TextMap&) {
  out.push_back({name, {}, {}});
}

void add(std::vector<KeyInfo>& out, const std::string& name, const Section& rule) {
  out.push_back({name, {}, {}});
  for (KeyInfo& inner : describe(rule.keys)) {
    inner.name = name + "." + inner.name;
    out.push_back(std::move(inner));
  }
}

}  // namespace

std::vector<KeyInfo> describe(const std::vector<Key>& keys) {
  std::vector<KeyInfo> out;
  for (const Key& key : keys) {
    std::visit([&](const auto& rule) { add(out, key.name, rule); }, key.rule);
  }
  return out;
}

std::string list_of(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    out += fmt::format("{}\"{}\"", out.empty() ? "" : &word == &words.back() ? " or " : ", ", word);
  }
  return out;
}

}  // namespace hearth::settings
