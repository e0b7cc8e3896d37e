// The smallest program with GLMoE: load a model, ask it one question, print the answer.
#include <glmoe/llm.h>

#include <iostream>

int main(int argc, char** argv) {
  try {
    glmoe::LLM llm({.model = argc > 1 ? argv[1] : "models/glm4-moe-demo"});
    const std::string prompt = llm.render_chat(
        R"([{"role": "user", "content": "What is a violin?"}])", {.enable_thinking = false});
    std::cout << llm.generate(prompt, {.max_tokens = 64, .temperature = 0.0f}).outputs[0].text
              << "\n";
  } catch (const glmoe::Error& error) {
    std::cerr << "hello: " << error.what() << "\n";
    return 1;
  }
}
