// Before the headline is read: that of a bare address stands in the page, and where another is asked for it is not to be seen. Nor is
// a frame drawn there before that one stands, by browsers that can wait for an element.
if (location.hash.length > 1) {
  document.documentElement.dataset.asked = "";
  document.head.append(
    Object.assign(document.createElement("link"), { rel: "expect", href: "#unpack", blocking: "render" }),
  );
}
