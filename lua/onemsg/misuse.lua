--- onemsg.misuse: a programmer's mistake is raised at the line that made it.

--- misuse(sentence) raises it with the position of the first caller that is none of our files. Never returns.
-- For use by a check that is called by a public function; needs `onemsg` loaded to look past more callers than that.
return function(sentence)
  local core = package.loaded["onemsg.core"]
  if core then core.raise(sentence) end
  error(sentence, 4)
end
