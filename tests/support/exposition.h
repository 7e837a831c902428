// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

// A strict reader of Prometheus' text format, for tests: what it refuses, a scraper may refuse.
namespace hearth::testing {

class Exposition {
 public:
  // Throws std::runtime_error that names the line.
  explicit Exposition(const std::string& text) {
    if (text.empty() || text.back() != '\n') throw std::runtime_error("no newline at the end");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      line_ = line;
      line.starts_with("# ") ? comment(line.substr(2)) : sample(line);
    }
    for (const auto& [name, type] : types_) {
      if (type == "histogram") check_histogram(name);
    }
  }

  // By the name with its labels as they are written, e.g. `hearth_calls_total{outcome="ok"}`.
  bool has(const std::string& series) const { return samples_.count(series) != 0; }
  double value(const std::string& series) const {
    if (!has(series)) throw std::runtime_error("no series " + series);
    return samples_.at(series);
  }
  std::string type(const std::string& family) const {
    return types_.count(family) ? types_.at(family) : "";
  }
  size_t size() const { return samples_.size(); }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw std::runtime_error(why + ": " + line_);
  }
  void expect(bool condition, const char* why) const {
    if (!condition) refuse(why);
  }

  void comment(const std::string& text) {
    std::istringstream words(text);
    std::string keyword, name, rest;
    words >> keyword >> name;
    std::getline(words >> std::ws, rest);
    if (keyword == "HELP") {
      expect(!rest.empty() && helped_.insert(name).second, "no help, or twice");
    } else {
      expect(keyword == "TYPE" && helped_.count(name) != 0, "a TYPE follows its HELP");
      expect(rest == "counter" || rest == "gauge" || rest == "histogram", "unknown type");
      expect(rest != "counter" || name.ends_with("_total"), "a counter's name ends in _total");
      expect(types_.emplace(name, rest).second, "a family is in one place");
      family_ = name;
    }
  }

  void sample(const std::string& line) {
    size_t at =
        line.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:");
    expect(at != std::string::npos && at > 0 && std::isdigit(line[0]) == 0, "no name");
    std::string name = line.substr(0, at);
    expect(belongs(name), "a sample follows its family's TYPE");
    if (line[at] == '{') at = labels(line, at + 1);
    expect(at < line.size() && line[at] == ' ', "a space before the value");
    const char* number = line.c_str() + at + 1;
    char* end = nullptr;
    double value = std::strtod(number, &end);
    expect(end != number && *end == 0, "no number");
    expect(types_[family_] == "gauge" || value >= 0, "a negative count");
    expect(samples_.emplace(line.substr(0, at), value).second, "a series is there once");
  }

  bool belongs(const std::string& name) {
    if (types_[family_] != "histogram") return name == family_;
    return name == family_ + "_bucket" || name == family_ + "_sum" || name == family_ + "_count";
  }

  // Returns the place after the closing brace.
  size_t labels(const std::string& line, size_t at) const {
    while (at < line.size() && line[at] != '}') {
      size_t equals = line.find("=\"", at);
      expect(equals != std::string::npos && equals > at, "a label without a value");
      for (at = equals + 2; at < line.size() && line[at] != '"'; at++) {
        if (line[at] != '\\') continue;
        at++;
        expect(at < line.size() && std::string("\\\"n").find(line[at]) != std::string::npos,
               "unknown escape");
      }
      at++;
      if (at < line.size() && line[at] == ',') at++;
    }
    expect(at < line.size(), "labels without an end");
    return at + 1;
  }

  // Only for histograms without labels of their own.
  void check_histogram(const std::string& name) const {
    std::map<double, double> buckets;
    for (const auto& [series, value] : samples_) {
      std::string prefix = name + "_bucket{le=\"";
      if (!series.starts_with(prefix)) continue;
      buckets[std::strtod(series.c_str() + prefix.size(), nullptr)] = value;
    }
    double before = 0;
    for (const auto& [bound, count] : buckets) {
      if (count < before) throw std::runtime_error(name + ": buckets do not rise");
      before = count;
    }
    if (value(name + "_bucket{le=\"+Inf\"}") != value(name + "_count")) {
      throw std::runtime_error(name + ": the last bucket is not the count");
    }
    (void)value(name + "_sum");
  }

  std::string line_, family_;
  std::set<std::string> helped_;
  std::map<std::string, std::string> types_;
  std::map<std::string, double> samples_;
};

}  // namespace hearth::testing
