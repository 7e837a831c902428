// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/sandbox_support.h"

namespace hearth::sandbox::test {
namespace {

TEST_F(SandboxTest, BuildsASandboxThatIsReady) {
  start();
  Created created = create(spec());
  Output output = run(created,
                      "id; cat /var/task/app.py /var/runtime/boot.py; ls /; ls /dev /etc; cat "
                      "/proc/self/status; cat /proc/self/mountinfo",
                      'r');
  printf("%s", output.text.c_str());
  kill_and_remove(created);
}

}  // namespace
}  // namespace hearth::sandbox::test
