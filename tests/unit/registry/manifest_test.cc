// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/manifest.h"

#include <gtest/gtest.h>

namespace hearth::registry {
namespace {

Manifest accepted(const std::string& text, const ManifestBounds& bounds = {}) {
  auto result = parse_manifest(text, bounds);
  if (auto* error = std::get_if<ManifestError>(&result)) {
    ADD_FAILURE() << error->line << ":" << error->column << ": " << error->message;
    return {};
  }
  return std::get<Manifest>(result);
}

ManifestError refused(const std::string& text, const ManifestBounds& bounds = {}) {
  auto result = parse_manifest(text, bounds);
  if (auto* error = std::get_if<ManifestError>(&result)) return *error;
  ADD_FAILURE() << "accepted:\n" << text;
  return {};
}

// Three lines that every good manifest has; what a test adds starts at line 4.
const std::string kHead = "name = \"f\"\nruntime = \"python3\"\nhandler = \"app.handle\"\n";
const std::string kExecHead = "name = \"f\"\nruntime = \"exec\"\nhandler = \"run.sh\"\n";

TEST(Manifest, ThreeKeysAreEnoughAndTheRestHasItsDefaults) {
  Manifest m = accepted(kHead);
  EXPECT_EQ(m.name, "f");
  EXPECT_EQ(m.runtime, Runtime::kPython3);
  EXPECT_EQ(m.handler, "app.handle");
  EXPECT_EQ(m.image, "");
  EXPECT_EQ(m.memory_mb, 128u);
  EXPECT_EQ(m.timeout_ms, 3000u);
  EXPECT_EQ(m.cpu_ms, 0u);
  EXPECT_EQ(m.cpu_percent, 100u);
  EXPECT_EQ(m.processes_max, 64u);
  EXPECT_EQ(m.tmp_mb, 64u);
  EXPECT_EQ(m.output_kb, 6144u);
  EXPECT_EQ(m.log_kb, 256u);
  EXPECT_EQ(m.reuse, Reuse::kSandbox);
  EXPECT_EQ(m.concurrency_max, 8u);
  EXPECT_EQ(m.warm_min, 0u);
  EXPECT_TRUE(m.env.empty());
  EXPECT_FALSE(m.http.has_value());
  EXPECT_FALSE(m.exec_http_env);
}

TEST(Manifest, EveryKeyArrivesWhereItBelongs) {
  Manifest m = accepted(R"(
name = "thumb-2"
runtime = "exec"
handler = "bin/run.sh"
image = "minimal"
memory_mb = 16
timeout_ms = 900000
cpu_ms = 1500
cpu_percent = 50
processes_max = 7
tmp_mb = 1
output_kb = 2
log_kb = 0
reuse = "never"
concurrency_max = 3
warm_min = 2
network = "none"
[env]
A = "1"
_b2 = "grüße\nzwei"
EMPTY = ""
[http]
public = false
methods = ["GET", "POST"]
[exec]
http_env = true
)");
  EXPECT_EQ(m.name, "thumb-2");
  EXPECT_EQ(m.runtime, Runtime::kExec);
  EXPECT_EQ(m.handler, "bin/run.sh");
  EXPECT_EQ(m.image, "minimal");
  EXPECT_EQ(m.memory_mb, 16u);
  EXPECT_EQ(m.timeout_ms, 900000u);
  EXPECT_EQ(m.cpu_ms, 1500u);
  EXPECT_EQ(m.cpu_percent, 50u);
  EXPECT_EQ(m.processes_max, 7u);
  EXPECT_EQ(m.tmp_mb, 1u);
  EXPECT_EQ(m.output_kb, 2u);
  EXPECT_EQ(m.log_kb, 0u);
  EXPECT_EQ(m.reuse, Reuse::kNever);
  EXPECT_EQ(m.concurrency_max, 3u);
  EXPECT_EQ(m.warm_min, 2u);
  EXPECT_EQ(m.env, (std::map<std::string, std::string>{
                       {"A", "1"}, {"EMPTY", ""}, {"_b2", "grüße\nzwei"}}));
  ASSERT_TRUE(m.http.has_value());
  EXPECT_FALSE(m.http->is_public);
  EXPECT_EQ(m.http->methods, (std::vector<std::string>{"GET", "POST"}));
  EXPECT_TRUE(m.exec_http_env);
}

TEST(Manifest, AnEmptyHttpSectionMeansPublicAndAnyMethod) {
  Manifest m = accepted(kHead + "[http]\n");
  ASSERT_TRUE(m.http.has_value());
  EXPECT_TRUE(m.http->is_public);
  EXPECT_TRUE(m.http->methods.empty());
}

TEST(Manifest, AcceptsCrLfAByteOrderMarkAndNoFinalNewline) {
  EXPECT_EQ(accepted("\xef\xbb\xbfname = \"f\"\r\nruntime = \"nodejs\"\r\nhandler = \"i.h\"").name,
            "f");
}

TEST(Manifest, HandlersOfEachRuntimeHaveTheirForm) {
  auto with = [](const std::string& runtime, const std::string& handler) {
    return "name = \"f\"\nruntime = \"" + runtime + "\"\nhandler = \"" + handler + "\"\n";
  };
  for (const char* good :
       {"app.handle", "pkg.mod.handle", "src/app.handle", "my-app.handle", "a._b"}) {
    EXPECT_EQ(accepted(with("python3", good)).handler, good);
    EXPECT_EQ(accepted(with("nodejs", good)).handler, good);
  }
  for (const char* good : {"run", "bin/run.sh", ".hidden/x", "a b", "straße"}) {
    EXPECT_EQ(accepted(with("exec", good)).handler, good);
    EXPECT_EQ(accepted(with("native", good)).handler, good);
  }
  for (const char* bad :
       {"", "handle", "app.", ".handle", "/app.handle", "../app.handle", "a/../b.handle",
        "a//b.handle", "app..handle", "app.2x", "app.ha-ndle", "a b.handle", "a/.b.handle",
        "a./b.handle", "a/.handle", "app.handle/", "./app.handle"}) {
    ManifestError error = refused(with("python3", bad));
    EXPECT_EQ(error.line, 3u) << bad;
    EXPECT_EQ(error.column, 11u) << bad;
    EXPECT_EQ(refused(with("nodejs", bad)).line, 3u) << bad;
  }
  for (const char* bad :
       {"", "/bin/sh", "..", "../x", "a/../x", "a//x", "./x", "a/.", "x/", "a\\u0007"}) {
    EXPECT_EQ(refused(with("exec", bad)).line, 3u) << bad;
    EXPECT_EQ(refused(with("native", bad)).line, 3u) << bad;
  }
}

struct Bad {
  std::string text;
  uint32_t line;
  std::string says;
};

class BadManifest : public testing::TestWithParam<Bad> {};

TEST_P(BadManifest, IsRefusedAtItsLineWithItsReason) {
  ManifestError error = refused(GetParam().text);
  EXPECT_EQ(error.line, GetParam().line) << error.message;
  EXPECT_GE(error.column, 1u);
  EXPECT_NE(error.message.find(GetParam().says), std::string::npos) << error.message;
  EXPECT_LE(error.message.size(), 512u);
}

const std::string kZ(1, '\0');

INSTANTIATE_TEST_SUITE_P(
    Syntax, BadManifest,
    testing::Values(
        Bad{"", 1, "missing key 'name'"}, Bad{"name", 1, "not valid TOML"},
        Bad{"name = ", 1, "not valid TOML"}, Bad{"name = f\n", 1, "not valid TOML"},
        Bad{"name = \"f\n", 1, "not valid TOML"}, Bad{kHead + "[http\n", 4, "not valid TOML"},
        Bad{kHead + "name = \"g\"\n", 4, "'name' is given twice"},
        Bad{kHead + "[http]\n[http]\n", 5, "'http' is given twice"},
        Bad{kHead + "x = \"\xff\"\n", 4, "utf-8"}, Bad{kHead + "x = \"\xc0\xaf\"\n", 4, "utf-8"},
        Bad{kHead + "x = \"\xed\xa0\x80\"\n", 4, "not valid TOML"},
        Bad{kHead + "x = \"" + kZ + "\"\n", 4, "control characters"},
        Bad{kHead + kZ, 4, "not valid TOML"}, Bad{"[[[a]]]", 1, "saw '['"},
        Bad{"[[ =", 1, "not valid TOML"}, Bad{"PK\x03\x04" + kZ, 1, "not valid TOML"},
        Bad{"{\"name\": \"f\"}", 1, "not valid TOML"}, Bad{"\n\n= 1\n", 3, "not valid TOML"},
        Bad{"a" + std::string(60000, 'a'), 1, "not valid TOML"},
        Bad{"x = " + std::string(50000, '['), 1, "depth"},
        Bad{"x" + std::string(200, '.'), 1, "nested too deep"},
        Bad{std::string(65537, '#'), 1, "at most 65536"},
        Bad{kHead + "memory_mb = 99999999999999999999\n", 4, "64 bits"}));

INSTANTIATE_TEST_SUITE_P(
    Keys, BadManifest,
    testing::Values(
        Bad{kHead + "memroy_mb = 1\n", 4, "unknown key 'memroy_mb'; did you mean 'memory_mb'?"},
        Bad{kHead + "timeout = 1\n", 4, "unknown key 'timeout'"},
        Bad{kHead + "timeoutms = 1\n", 4, "did you mean 'timeout_ms'?"},
        Bad{kHead + "\n\ncolour = 1\n", 6, "unknown key 'colour'"},
        Bad{kHead + "public = true\n", 4, "unknown key 'public'; it belongs in [http]"},
        Bad{kHead + "http_env = true\n", 4, "it belongs in [exec]"},
        Bad{kHead + "[htpp]\n", 4, "unknown key 'htpp'; did you mean 'http'?"},
        Bad{kHead + "[http]\nmethod = [\"GET\"]\n", 5, "did you mean 'http.methods'?"},
        Bad{kHead + "[http]\nmemory_mb = 64\n", 5, "it belongs above the first [section]"},
        Bad{kHead + "[http.cors]\n", 4, "unknown key 'http.cors'"},
        Bad{kHead + "\"\\u001b[31m\" = 1\n", 4, "unknown key '\\x1b[31m'"},
        Bad{kHead + "\"" + std::string(300, 'k') + "\" = 1\n", 4, "kkk…'"},
        Bad{"nmae = \"f\"\nruntime = \"exec\"\nhandler = \"x\"\n", 1, "did you mean 'name'?"},
        Bad{"runtime = \"exec\"\nhandler = \"x\"\n", 1, "missing key 'name'"},
        Bad{"name = \"f\"\nhandler = \"x\"\n", 1, "missing key 'runtime'"},
        Bad{"name = \"f\"\nruntime = \"exec\"\n", 1, "missing key 'handler'"}));

INSTANTIATE_TEST_SUITE_P(
    Types, BadManifest,
    testing::Values(
        Bad{"name = 1\n", 1, "'name' must be a string, but is an integer"},
        Bad{kHead + "memory_mb = \"128\"\n", 4, "'memory_mb' must be an integer, but is a string"},
        Bad{kHead + "memory_mb = 1.5\n", 4, "but is a number with a fraction"},
        Bad{kHead + "memory_mb = true\n", 4, "but is true or false"},
        Bad{kHead + "memory_mb = [1]\n", 4, "but is a list"},
        Bad{kHead + "memory_mb = {}\n", 4, "but is a table"},
        Bad{kHead + "memory_mb = 2024-01-01\n", 4, "but is a date or time"},
        Bad{kHead + "timeout_ms = nan\n", 4, "must be an integer"},
        Bad{kHead + "reuse = 1\n", 4, "must be \"never\", \"sandbox\" or \"process\""},
        Bad{kHead + "env = 1\n", 4, "'env' must be a table, [env]"},
        Bad{kHead + "http = true\n", 4, "'http' must be a table, [http]"},
        Bad{kHead + "[[http]]\n", 4, "'http' must be a table"},
        Bad{kHead + "[http]\npublic = \"yes\"\n", 5, "'http.public' must be true or false"},
        Bad{kHead + "[http]\nmethods = \"GET\"\n", 5, "must be a list of strings"},
        Bad{kHead + "[http]\nmethods = [\"GET\",\n 1]\n", 6, "must be a list of strings"},
        Bad{kExecHead + "[exec]\nhttp_env = 1\n", 5, "'exec.http_env' must be true or false"}));

INSTANTIATE_TEST_SUITE_P(
    Values, BadManifest,
    testing::Values(Bad{"name = \"\"\n", 1, "'name' is \"\": it must be 1 to 63"},
                    Bad{"name = \"Thumb\"\n", 1, "a-z, 0-9"},
                    Bad{"name = \"a_b\"\n", 1, "a-z, 0-9"}, Bad{"name = \"../x\"\n", 1, "a-z, 0-9"},
                    Bad{"name = \"" + std::string(64, 'a') + "\"\n", 1, "64 bytes, at most 63"},
                    Bad{"name = \"a\\u0000b\"\n", 1, "contains a NUL byte"},
                    Bad{"name = \"f\"\nruntime = \"python\"\n", 2, "did you mean \"python3\"?"},
                    Bad{"name = \"f\"\nruntime = \"cobol\"\n", 2,
                        "must be \"python3\", \"nodejs\", \"exec\" or \"native\""},
                    Bad{kHead + "reuse = \"sandboxes\"\n", 4, "did you mean \"sandbox\"?"},
                    Bad{kHead + "image = \"../host\"\n", 4, "an image's name"},
                    Bad{kHead + "network = \"host\"\n", 4, "\"none\""},
                    Bad{kHead + "network = \"\"\n", 4, "\"none\""},
                    Bad{kHead + "[http]\nmethods = []\n", 5, "leave it out"},
                    Bad{kHead + "[http]\nmethods = [\"get\"]\n", 5, "but is \"get\""},
                    Bad{kHead + "[http]\nmethods = [\"PSOT\"]\n", 5, "did you mean \"POST\"?"},
                    Bad{kHead + "[http]\nmethods = [\"CONNECT\"]\n", 5, "'http.methods' must be"},
                    Bad{kHead + "[http]\nmethods = [\"GET\", \"GET\"]\n", 5, "\"GET\" twice"},
                    Bad{kHead + "[env]\n\"A B\" = \"1\"\n", 5, "letters, digits and '_' only"},
                    Bad{kHead + "[env]\n1A = \"1\"\n", 5, "starts with a letter"},
                    Bad{kHead + "[env]\n\"\" = \"1\"\n", 5, "starts with a letter"},
                    Bad{kHead + "[env]\nÄ = \"1\"\n", 5, "only ASCII may stand"},
                    Bad{kHead + "[env]\nA = 3\n", 5, "'env.A' must be a string, but is an integer"},
                    Bad{kHead + "[env]\nA = \"x\\u0000\"\n", 5, "contains a NUL byte"},
                    Bad{kHead + "[env]\nA = \"1\"\nA = \"2\"\n", 6, "'A' is given twice"},
                    Bad{kHead + "[env]\nAWS_LAMBDA_FUNCTION_NAME = \"x\"\n", 5, "set by Hearth"},
                    Bad{kHead + "[env]\nHEARTH_X = \"x\"\n", 5, "set by Hearth"},
                    Bad{kHead + "[env]\n_HANDLER = \"x\"\n", 5, "set by Hearth"},
                    Bad{kHead + "[env]\nLAMBDA_TASK_ROOT = \"x\"\n", 5, "set by Hearth"},
                    Bad{kHead + "[env]\nLAMBDA_RUNTIME_DIR = \"x\"\n", 5, "set by Hearth"},
                    Bad{kHead + "[env]\nA = \"1\"\nreuse = \"never\"\n", 6,
                        "belongs above the first [section]"},
                    Bad{kHead + "[exec]\n", 4,
                        "[exec] is for runtime \"exec\", this is \"python3\""},
                    Bad{kExecHead + "[exec]\nhttp_env = true\n", 5, "needs an [http] section"},
                    Bad{kExecHead + "reuse = \"process\"\n", 4, "serves one call"}));

TEST(Manifest, TheFirstOfSeveralErrorsIsTold) {
  EXPECT_EQ(refused(kHead + "zzz = 1\nmemory_mb = 0\naaa = 2\n").line, 4u);
  EXPECT_EQ(refused(kHead + "warm_min = \"x\"\nmemory_mb = 0\n").line, 4u);
}

TEST(Manifest, ColumnsPointAtTheKeyThatIsUnknownAndTheValueThatIsWrong) {
  EXPECT_EQ(refused(kHead + "  memroy_mb = 1\n").column, 3u);
  EXPECT_EQ(refused(kHead + "memory_mb = 1\n").column, 13u);
}

struct Bound {
  const char* key;
  uint64_t min, max;
  uint32_t Manifest::*member;
};

class ManifestBound : public testing::TestWithParam<Bound> {};

TEST_P(ManifestBound, IsKeptAndTheRefusalNamesLimitAndValue) {
  const char* key = GetParam().key;
  const uint64_t min = GetParam().min, max = GetParam().max;
  auto member = GetParam().member;
  auto line = [&](int64_t value) {
    // warm_min may not exceed concurrency_max, which is at its own bound here.
    std::string other = std::string(key) == "warm_min" ? "concurrency_max = 256\n" : "";
    return kHead + other + key + " = " + std::to_string(value) + "\n";
  };
  EXPECT_EQ(accepted(line(static_cast<int64_t>(min))).*member, min);
  EXPECT_EQ(accepted(line(static_cast<int64_t>(max))).*member, max);
  for (int64_t low : {static_cast<int64_t>(min) - 1, INT64_MIN}) {
    ManifestError error = refused(line(low));
    EXPECT_EQ(error.limit, std::string(key) + ">=" + std::to_string(min));
    EXPECT_EQ(error.value, std::to_string(low));
    EXPECT_NE(error.message.find(std::to_string(min)), std::string::npos);
  }
  for (int64_t high : {static_cast<int64_t>(max) + 1, int64_t{1} << 32, INT64_MAX}) {
    ManifestError error = refused(line(high));
    EXPECT_EQ(error.limit, std::string(key) + "<=" + std::to_string(max));
    EXPECT_EQ(error.value, std::to_string(high));
    EXPECT_NE(error.message.find(std::to_string(max)), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Each, ManifestBound,
                         testing::Values(Bound{"memory_mb", 16, 1024, &Manifest::memory_mb},
                                         Bound{"timeout_ms", 1, 900000, &Manifest::timeout_ms},
                                         Bound{"cpu_ms", 0, 7200000, &Manifest::cpu_ms},
                                         Bound{"cpu_percent", 1, 800, &Manifest::cpu_percent},
                                         Bound{"processes_max", 1, 1024, &Manifest::processes_max},
                                         Bound{"tmp_mb", 1, 1024, &Manifest::tmp_mb},
                                         Bound{"output_kb", 1, 6144, &Manifest::output_kb},
                                         Bound{"log_kb", 0, 10240, &Manifest::log_kb},
                                         Bound{"concurrency_max", 1, 256,
                                               &Manifest::concurrency_max},
                                         Bound{"warm_min", 0, 32, &Manifest::warm_min}),
                         [](const auto& bound) { return bound.param.key; });

TEST(Manifest, ReadingHasNoLimitUnlessTheFunctionOrTheHostSetsOne) {
  EXPECT_EQ(accepted(kHead).io_mb_per_s, 0u);
  Manifest m = accepted(kHead + "io_mb_per_s = 1\nio_reads_per_s = 100\n");
  EXPECT_EQ(m.io_mb_per_s, 1u);
  EXPECT_EQ(m.io_reads_per_s, 100u);
  // So few that pages which others wait for too stay locked for long.
  EXPECT_EQ(refused(kHead + "io_reads_per_s = 99\n").limit, "io_reads_per_s>=100");
  ManifestBounds bounds;
  bounds.io_mb_per_s_max = 50, bounds.io_reads_per_s_max = 500;
  EXPECT_EQ(accepted(kHead, bounds).io_mb_per_s, 50u);
  EXPECT_EQ(accepted(kHead, bounds).io_reads_per_s, 500u);
  EXPECT_EQ(accepted(kHead + "io_mb_per_s = 49\n", bounds).io_mb_per_s, 49u);
  EXPECT_EQ(refused(kHead + "io_mb_per_s = 51\n", bounds).limit, "io_mb_per_s<=50");
  EXPECT_EQ(refused(kHead + "io_mb_per_s = 0\n", bounds).limit, "io_mb_per_s>=1");
  EXPECT_EQ(refused(kHead + "io_reads_per_s = 0\n", bounds).limit, "io_reads_per_s>=100");
}

TEST(Manifest, WarmMinMayNotExceedConcurrencyMax) {
  ManifestError error = refused(kHead + "warm_min = 9\n");
  EXPECT_EQ(error.line, 4u);
  EXPECT_EQ(error.limit, "warm_min<=8");
  EXPECT_EQ(error.value, "9");
}

TEST(Manifest, TheEnvironmentHasABoundOverAllNamesAndValues) {
  ManifestBounds bounds;
  bounds.env_bytes_max = 20;
  // "AB=12345678\0" is 12 bytes, "C=34567\0" is 8.
  std::string full = kHead + "[env]\nAB = \"12345678\"\nC = \"34567\"\n";
  EXPECT_EQ(accepted(full, bounds).env.size(), 2u);
  ManifestError error = refused(full + "D = \"\"\n", bounds);
  EXPECT_EQ(error.line, 4u);
  EXPECT_EQ(error.limit, "env bytes<=20");
  EXPECT_EQ(error.value, "23");
}

TEST(Manifest, AHostBoundBelowADefaultLowersTheDefault) {
  ManifestBounds bounds;
  bounds.memory_mb_max = 64;
  bounds.timeout_ms_max = 1000;
  bounds.concurrency_max = 2;
  Manifest m = accepted(kHead, bounds);
  EXPECT_EQ(m.memory_mb, 64u);
  EXPECT_EQ(m.timeout_ms, 1000u);
  EXPECT_EQ(m.concurrency_max, 2u);
  EXPECT_EQ(refused(kHead + "memory_mb = 128\n", bounds).limit, "memory_mb<=64");
}

TEST(Manifest, DeepDottedKeysDoNotEndTheProcess) {
  std::string deep = "a";
  for (int i = 0; i < 30000; ++i) deep += ".a";
  EXPECT_NE(refused(deep + " = 1\n").message.find("too deep"), std::string::npos);
  EXPECT_NE(refused("[" + deep + "]\n").message.find("too deep"), std::string::npos);
  std::string lines;
  for (int i = 0; i < 3000; ++i) lines += "x = {a.a=[{a.a=[\n";
  EXPECT_GE(refused(lines).line, 1u);
  // Strings may have as many dots as they like, whatever their quotes; the key after them counts.
  std::string dots(500, '.');
  std::string env = "[env]\nA = \"\\\"" + dots + "\"\nB = '" + dots + "'\nC = \"\"\"\n\"" + dots +
                    "\"\"\"\"\nD = '''\n'" + dots + "''''\n# " + dots + "\n";
  EXPECT_EQ(accepted(kHead + env).env.size(), 4u);
  EXPECT_NE(refused(kHead + env + deep + " = 1\n").message.find("too deep"), std::string::npos);
}

TEST(Names, AreSixtyThreeOfAFewCharacters) {
  EXPECT_TRUE(valid_name("a"));
  EXPECT_TRUE(valid_name("thumb-2"));
  EXPECT_TRUE(valid_name(std::string(63, 'z')));
  EXPECT_FALSE(valid_name(""));
  EXPECT_FALSE(valid_name(std::string(64, 'z')));
  for (const char* bad : {"A", "a_b", "a.b", "a/b", "..", "a b", "ä", "a\n"})
    EXPECT_FALSE(valid_name(bad)) << bad;
  EXPECT_FALSE(valid_name(std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace hearth::registry
