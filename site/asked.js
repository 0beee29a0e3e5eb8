// Before the headline is read: that of a bare address stands in the page, and where another is asked for it is not to be seen.
if (location.hash.length > 1) document.documentElement.dataset.asked = "";
