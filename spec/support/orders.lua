--- Calls visit with every order of a list.
local function permute(list, visit, n)
  n = n or #list
  if n <= 1 then return visit(list) end
  for i = 1, n do
    list[i], list[n] = list[n], list[i]
    permute(list, visit, n - 1)
    list[i], list[n] = list[n], list[i]
  end
end

return { permute = permute }
