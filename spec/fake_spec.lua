local server = require "support.server"
describe("fake", function()
  it("starts", function()
    local fake = server.fake {}
    assert.equal(0, fake:count "12020721300")
    assert.equal("", fake:errors())
    fake:stop()
  end)
end)
