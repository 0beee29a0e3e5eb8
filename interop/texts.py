"""Texts that tokenizers trip over."""

TEXTS = [
    "", " ", "a", "Hello, world!", "  two  blanks  ", "\n", "\r\n", "a\r\nb\n\nc\r", "tab\tand\vand\f", "\u00a0\u2003\u3000\u1680x\u2028y\u2029",
    "don't I'LL we've they'RE 's 'S \u017f's", "1234567890 12 3.14159 1,000,000 \u0663\u0664 \u00b2\u00bd \u2167", "caf\u00e9 cafe\u0301 \u1e9b\u0323 \ufb01 \ufb03 \u2460",
    "\u4e2d\u6587\u548c\u65e5\u672c\u8a9e\u3067\u3059\u3002\ud55c\uad6d\uc5b4", "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u202bRTL\u202c", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0928\u092e\u0938\u094d\u0924\u0947 \u0bb5\u0ba3\u0b95\u0bcd\u0b95\u0bae\u0bcd",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1e9\U0001f1ea\U0001f44d\U0001f3fd", "a\u0000b\u0001\u001f\u007f\u0085\u009f", "\ufeffbom \ufffd \u200b \u200d \u00ad",
    "<s> x </s>", "<s>x</s><s>", " <mask> ", "a<mask>b", "  <mask>  <mask>\n<mask>", "<|endoftext|>", "x<|endoftext|>y <|im_start|>user\nhi<|im_end|>", "<think>so</think>", "[CLS] a [SEP]", "[MASK]s", "word[MASK]word [MASK]",
    "<unk>", "<pad><pad>", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "  " * 40, "!!!???...---___", "a_b_c_d snake_case camelCase HTTPServer", "x = y + z; // \u03c0\u00b2", "http://example.com/?q=1&r=2#f", "\u03a3\u0391\u03a3 \u0130stanbul \u1e9e \u01c5 \u01c4",
    "\u0ac0\u0b01 \u1ac1 \ua9ce \u0295 \u088f \u1c89", "\U00011935\U00011930 \U000105d2\u0307 \u0f71\u0f72\u0f74", "\u2581a\u2581\u2581b \u2581", "\u0120x \u010a", "ab!! \u00bfq? \u00ab\u00bb \u2014 \u166d \u111c9".replace("\u111c9", "\U000111c9"),
    "e\u0301e\u0300\u0301 \u0301x \u0300", "\u1100\u1161\u11a8 \uac01 \u212b \u2126", "don\u2019t \u201cq\u201d", "\U0010ffff \ue000 \U000e0001", "the the  the   the", "<0x41> <0x0A>", "Yesterday yesterday YESTERDAY", " \n \n  x\n\n\n y", "a b c", "a,b;c", "MixedUP 12ab34", "\u30a2\u30fc\u30c8 \u3042\u30fc kanji\u6f22\u5b57\u304b\u306a", "\u0e33\u0e4d \u0600\u0031 \u0d4e\u0d15",
    "# Title\n\n- item 1\n- item 2\n\n```py\ndef f(x):\n    return x ** 2\n```\n", "\t\tint main() {\n\t\t\treturn 0;\n\t\t}",
    "".join(chr(code) for code in range(1, 0x700)), "".join(chr(code) for code in range(0x2000, 0x2c00)), "".join(chr(code) for code in range(0x1f300, 0x1f700)),
]
