// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "daemon/config.h"
#include "daemon/registry/manifest.h"
#include "daemon/settings/reader.h"

// The manual pages of the two files say of every key what the code says.
namespace hearth::daemon {
namespace {

class Manual {
 public:
  explicit Manual(const std::string& name) {
    std::ifstream file(std::string(MAN_DIR "/") + name);
    EXPECT_TRUE(file.good()) << name;
    for (std::string line; std::getline(file, line);) lines_.push_back(line);
  }

  // What is said of a key: from its item's line to the next item of the same section. Empty:
  // nothing.
  std::string item(const std::string& key) const {
    size_t dot = key.find('.');
    std::string section =
        dot == std::string::npos ? "Keys at the top" : "Section " + key.substr(0, dot);
    std::string name = dot == std::string::npos ? key : key.substr(dot + 1), text;
    bool in_section = false, in_item = false;
    for (const std::string& line : lines_) {
      if (line.starts_with(".Ss ") || line.starts_with(".Sh "))
        in_section = line == ".Ss " + section;
      if (line.starts_with(".It Ic ") || !in_section)
        in_item = in_section && line == ".It Ic " + name;
      if (in_item) text += line + " ";
    }
    return text;
  }

  bool has_section(const std::string& name) const {
    return std::find(lines_.begin(), lines_.end(), ".Ss Section " + name) != lines_.end();
  }

  std::vector<std::string> examples() const {
    std::vector<std::string> out;
    bool inside = false;
    for (const std::string& line : lines_) {
      if (line == ".Ed") inside = false;
      if (inside) out.back() += line + "\n";
      if (line.starts_with(".Bd -literal")) inside = true, out.emplace_back();
    }
    return out;
  }

 private:
  std::vector<std::string> lines_;
};

std::vector<std::string> words_of(const std::string& range) {
  std::vector<std::string> words;
  for (size_t open = range.find('"'); open != std::string::npos; open = range.find('"', open + 1)) {
    size_t close = range.find('"', open + 1);
    words.push_back(range.substr(open + 1, close - open - 1));
    open = close;
  }
  return words;
}

void expect_complete(const Manual& manual, const std::vector<settings::KeyInfo>& keys) {
  for (const settings::KeyInfo& key : keys) {
    if (manual.has_section(key.name)) continue;
    std::string item = manual.item(key.name);
    ASSERT_NE(item, "") << "the manual does not explain " << key.name;
    if (key.range.find(" to ") != std::string::npos) {
      EXPECT_NE(item.find(key.range + ", default " + key.initial + "."), std::string::npos)
          << key.name << ": " << key.range << ", default " << key.initial;
      continue;
    }
    for (const std::string& word : words_of(key.range)) {
      EXPECT_NE(item.find(word), std::string::npos) << key.name << ": " << word;
    }
    bool says_default =
        item.find("efault") != std::string::npos || item.find("Required") != std::string::npos;
    EXPECT_TRUE(says_default) << key.name;
    if (key.initial.empty() || item.find("Required") != std::string::npos) continue;
    EXPECT_NE(item.find(key.initial), std::string::npos) << key.name << ": default " << key.initial;
  }
}

TEST(Manual, ExplainsEveryKeyOfFunctionTomlWithItsBoundsAndDefault) {
  expect_complete(Manual("function.toml.5"), registry::manifest_keys());
}

TEST(Manual, ExplainsEveryKeyOfHearthTomlWithItsBoundsAndDefault) {
  expect_complete(Manual("hearth.toml.5"), config_keys());
}

TEST(Manual, ExamplesOfFunctionTomlAreGoodManifests) {
  std::vector<std::string> examples = Manual("function.toml.5").examples();
  ASSERT_EQ(examples.size(), 4u);
  for (const std::string& text : examples) {
    auto result = registry::parse_manifest(text, {});
    auto* error = std::get_if<registry::ManifestError>(&result);
    EXPECT_FALSE(error) << text << error->message;
  }
}

TEST(Manual, ExamplesOfHearthTomlAreGoodConfigurations) {
  std::vector<std::string> examples = Manual("hearth.toml.5").examples();
  ASSERT_EQ(examples.size(), 1u);
  auto result = parse_config(examples[0]);
  auto* error = std::get_if<ConfigError>(&result);
  EXPECT_FALSE(error) << error->message;
}

TEST(Manual, AKeyThatIsNotExplainedIsFound) {
  Manual manual("function.toml.5");
  EXPECT_EQ(manual.item("colour"), "");
  EXPECT_EQ(manual.item("public"), "");  // only in its section
  EXPECT_NE(manual.item("http.public"), "");
}

}  // namespace
}  // namespace hearth::daemon
