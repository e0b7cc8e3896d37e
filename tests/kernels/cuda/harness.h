// What the tests on a GPU share. They need CUDA and the standard library alone, so that they can be
// built by hand on a machine with a GPU and none of the project's libraries (tools/gpu_check.sh).
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace glmoe::cuda_test {

struct Test {
  std::string name;
  std::string file;  // without its folder
  std::function<void()> body;
};

std::vector<Test>& all_tests();

struct Register {
  Register(std::string name, const std::string& path, std::function<void()> body) {
    all_tests().push_back(
        {std::move(name), path.substr(path.find_last_of('/') + 1), std::move(body)});
  }
};

// True with --quick for a case that works on many numbers (all that its kernels read and write):
// under a sanitizer, which is a hundred times slower, such a case finds nothing that small ones of
// the same kernels do not. A test asks for each of its cases.
bool leaves_out(double numbers);

// Fails the running test, which goes on.
void expect(bool condition, const std::string& what);

// Fails unless `body` throws a glmoe::Error whose message has `part` in it.
void expect_refused(const std::function<void()>& body, const std::string& part);

}  // namespace glmoe::cuda_test

// CUDA_TEST(NameThatIsASentence) { expect(...); }
#define CUDA_TEST(name)                                                              \
  static void name();                                                                \
  static const ::glmoe::cuda_test::Register register_##name(#name, __FILE__, &name); \
  static void name()
